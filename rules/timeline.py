"""What happened with one user and one achievement, in order and in words. Ids only, no person."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rules.history import Call, History, LedgerRow
from rules.states import IssuanceState, Origin
from rules.story import STANDING
from rules.told import moment

CALLS = {
    "issue": "Sent the badge to Credly",
    "replace": "Sent the badge to Credly in place of the earlier one",
    "look_up": "Asked Credly whether the badge exists",
    "revoke": "Asked Credly to revoke the badge",
}
ANSWERS = {
    "issued": "it was issued",
    "found": "it exists",
    "not_found": "it was not found",
    "refused": "refused",
    "throttled": "fewer calls were asked for, nothing was made",
    "not_sent": "Credly could not be reached, nothing was sent",
    "unclear": "the answer got lost, so the badge may exist",
    "not_connected": "the token or the organization was refused",
    "revoked": "it was revoked",
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened: when (UTC), what, and in which flow run."""

    at: datetime
    what: str
    flow_run_id: str | None = None


def timeline(history: History) -> list[Event]:
    """Return everything known, the oldest first."""
    events = [*_set_up(history), *_awarded(history)]
    for row in history.rows:
        events += _ledger(row)
        events += [Event(at=call.started_at, what=in_words(call), flow_run_id=call.flow_run_id) for call in row.calls]
    return sorted(events, key=lambda event: event.at)


def in_words(call: Call) -> str:
    """Return a call and what Credly answered: `Sent the badge to Credly: it was issued (201, 120 ms).`"""
    facts = [
        str(call.status) if call.status else "",
        f"code {call.code}" if call.code else "",
        f"{call.duration.total_seconds() * 1000:.0f} ms",
        f"request {call.request_id}" if call.request_id else "",
    ]
    said = f" Credly's message: {call.credly_message}" if call.credly_message else ""
    fields = f" Fields sent: {call.field_names.replace(',', ', ')}." if call.field_names else ""
    told = ANSWERS.get(call.outcome, call.outcome)
    return f"{CALLS.get(call.kind, call.kind)}: {told} ({', '.join(filter(None, facts))}).{said}{fields}"


def _set_up(history: History) -> Iterator[Event]:
    if history.connected_at:
        yield Event(at=history.connected_at, what=f"Portal {history.portal_id} was connected to Credly, as it is now.")
    integration = history.integration
    if integration is None:
        return
    template = integration.badge_template_id
    since = f", for awards from {moment(integration.issue_since)} on" if integration.issue_since else ""
    yield Event(at=integration.enabled_at, what=f"Credly was enabled; the template is {template} now{since}.")
    if integration.paused_at:
        yield Event(at=integration.paused_at, what="Credly was paused on the achievement.")
    if integration.held_at:
        yield Event(at=integration.held_at, what="The achievement's badges were held back, because they are many.")


def _awarded(history: History) -> Iterator[Event]:
    for award in history.awards:
        yield Event(at=award.awarded_at, what=f"Awarded (award {award.award_id}).")
        if award.withdrawn or award.withdrawn_at:
            how = "was withdrawn" if award.withdrawn else "is to be withdrawn"
            when = "" if award.withdrawn_at else ", at a moment that cannot be shown"
            yield Event(at=award.withdrawn_at or award.awarded_at, what=f"Award {award.award_id} {how}{when}.")


def _ledger(row: LedgerRow) -> Iterator[Event]:
    name, template = f"Issuance {row.issuance_id}", row.badge_template_id
    by_hand = row.origin is Origin.BY_HAND
    who = f" by hand ({row.requested_by or 'not known by whom'})" if by_hand else ""
    why = f" Reason given: {row.request_reason}." if row.request_reason else ""
    yield Event(at=row.planned_at, what=f"{name} was entered into the ledger{who}, template {template}.{why}")
    if row.recorded_at and row.state is IssuanceState.ISSUED:
        how = "found at Credly and taken over" if row.adopted else "recorded as issued"
        left_out = f" Left out: {row.evidence_left_out.replace(',', ', ')}." if row.evidence_left_out else ""
        evidence = f" Evidence: {row.evidence_sent.replace(',', ', ') or 'none'}.{left_out}"
        yield Event(
            at=row.recorded_at,
            what=f"{name} was {how}: badge {row.credly_badge_id}, dated {moment(row.issued_at)}.{evidence}",
            flow_run_id=row.flow_run_id,
        )
    elif row.updated_at > row.planned_at:
        why = f": {row.reason.sentence}" if row.reason else "."
        yield Event(at=row.updated_at, what=f"{name} was put to {row.state}{why}", flow_run_id=row.flow_run_id)
    if row.audited_at:
        told = row.credly_state or "not known"
        ended = "" if row.credly_state in STANDING else " That is no standing badge."
        yield Event(at=row.audited_at, what=f"The audit asked Credly: the badge is {told}.{ended}")
