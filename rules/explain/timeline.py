"""The timeline of one user and one achievement, as text. Ids only, no personal data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from rules.explain.diagnosis import STANDING
from rules.explain.history import Call, History, LedgerRow, Operator, TransitionEntry
from rules.ledger.settings_changes import SettingsAction, change_text
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition
from rules.wording import ANSWERS, CALLS, moment


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened: when (UTC), what, and in which flow run."""

    at: datetime
    what: str
    flow_run_id: str | None = None


def timeline(history: History) -> list[Event]:
    events = [*_settings_events(history), *_award_events(history)]
    for row in history.rows:
        events += _ledger_events(row)
        events += [Event(at=call.started_at, what=call_text(call), flow_run_id=call.flow_run_id) for call in row.calls]
    return sorted(events, key=lambda event: event.at)


def call_text(call: Call) -> str:
    """Return a call with its outcome as text: `Sent the badge to Credly: it was issued (201, 120 ms).`"""
    facts = [
        str(call.status) if call.status else "",
        f"code {call.code}" if call.code else "",
        f"{call.duration.total_seconds() * 1000:.0f} ms",
        f"request {call.request_id}" if call.request_id else "",
    ]
    message = f" Credly's message: {call.credly_message}" if call.credly_message else ""
    fields = f" Fields sent: {call.field_names.replace(',', ', ')}." if call.field_names else ""
    answer = ANSWERS.get(call.outcome, call.outcome)
    return f"{CALLS.get(call.kind, call.kind)}: {answer} ({', '.join(filter(None, facts))}).{message}{fields}"


def _settings_events(history: History) -> Iterator[Event]:
    for entry in history.settings_changes:
        done = change_text(entry.settings_of, entry.subject_id, entry.action, entry.changes)
        what = [done, _by(entry.operator), _BEFORE_HISTORY if entry.reconstructed else ""]
        yield Event(at=entry.at, what=" ".join(filter(None, what)), flow_run_id=entry.flow_run_id)
    # Settings that were written in SQL have no history: their present values are the only trace.
    made = {entry.action for entry in history.settings_changes}
    if history.connected_at and SettingsAction.CONNECTED not in made:
        yield Event(at=history.connected_at, what=f"Portal {history.portal_id} was connected to Credly, as it is now.")
    if history.integration and SettingsAction.ENABLED not in made:
        template = history.integration.coverage.badge_template_id
        yield Event(at=history.integration.enabled_at, what=f"Credly was enabled; the template is {template} now.")


def _award_events(history: History) -> Iterator[Event]:
    for award in history.awards:
        yield Event(at=award.awarded_at, what=f"Awarded (award {award.award_id}).")
        if award.withdrawn or award.withdrawn_at:
            how = "was withdrawn" if award.withdrawn else "is to be withdrawn"
            when = "" if award.withdrawn_at else ", at a moment that cannot be shown"
            yield Event(at=award.withdrawn_at or award.awarded_at, what=f"Award {award.award_id} {how}{when}.")


def _ledger_events(row: LedgerRow) -> Iterator[Event]:
    # The row has the facts of the latest request and the latest badge only. They are shown beside the transitions that
    # they belong to.
    request = _last(row, lambda entry: entry.transition is Transition.REQUEST or _is_replaced_by_hand(entry))
    issue = _last(row, lambda entry: entry.transition in _ISSUED and entry.to_state is IssuanceState.ISSUED)
    requested_by = Operator(creator=row.requested_by)
    template = None
    for entry in row.transitions:
        facts = [] if entry.badge_template_id == template else [f"template {entry.badge_template_id}"]
        what = [f"Issuance {row.issuance_id}: {_transition(entry, facts)}"]
        if entry.transition is Transition.REQUEST:
            what.append(_by(entry.operator or (requested_by if entry is request else Operator())))
        elif entry.from_state is not IssuanceState.ISSUING:  # that is the result of a call, whoever started its run
            what.append(_by(entry.operator))
        if request is None and template is None and row.requested_by:
            what.append(f"It was requested by {row.requested_by}, at an unknown moment.")
        if entry is request and row.request_reason:
            what.append(f"Reason given: {row.request_reason}.")
        if entry is issue and row.state is IssuanceState.ISSUED:
            what.append(_badge(row))
        if entry.reconstructed:
            what.append(_BEFORE_HISTORY)
        yield Event(at=entry.at, what=" ".join(filter(None, what)), flow_run_id=entry.flow_run_id)
        template = entry.badge_template_id
    if row.audited_at:
        state = row.credly_state or "not known"
        ended = "" if row.credly_state in STANDING else " That badge does not count."
        yield Event(at=row.audited_at, what=f"The badge was read at Credly: it is {state}.{ended}")


def _last(row: LedgerRow, condition: Callable[[TransitionEntry], bool]) -> TransitionEntry | None:
    return next(filter(condition, reversed(row.transitions)), None)


def _is_replaced_by_hand(entry: TransitionEntry) -> bool:
    return entry.transition is Transition.REPLACE and entry.operator is not None


def _transition(entry: TransitionEntry, facts: list[str]) -> str:
    before = f"{entry.from_state} → " if entry.from_state not in (None, entry.to_state) else ""
    sentence = entry.transition.rule.sentence
    if entry.transition is Transition.UNKNOWN:
        earlier = "Written by an earlier version of Laurel, or in SQL"
        sentence = "Its state at that time" if entry.reconstructed else earlier
    why = f": {entry.reason.sentence}" if entry.reason else "."
    return f"{sentence.removesuffix('.')} ({', '.join([f'{before}{entry.to_state}', *facts])}){why}"


def _badge(row: LedgerRow) -> str:
    adopted = " Found at Credly and adopted." if row.adopted else ""
    left_out = f" Left out: {row.evidence_left_out.replace(',', ', ')}." if row.evidence_left_out else ""
    evidence = row.evidence_sent.replace(",", ", ") or "none"
    return f"Badge {row.credly_badge_id}, dated {moment(row.issued_at)}.{adopted} Evidence: {evidence}.{left_out}"


def _by(operator: Operator | None) -> str:
    return f"By {operator}." if operator else ""


_ISSUED = (Transition.ISSUE, Transition.UNKNOWN)
_BEFORE_HISTORY = "(from before the history was kept)"
