"""Why a user has the badge of an achievement or not, from the history of the two: cause, next step and advice."""

from datetime import datetime
from enum import StrEnum

from rules.explain.history import Answer, History, LedgerRow
from rules.ledger.eligibility import Action, Decision, Ground, decide
from rules.ledger.outcome import LIVE_STATES
from rules.ledger.reasons import AwardFault, Reason
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.withdrawal import is_withdrawn
from rules.wording import moment

NEXT_RUN = "The next run of reconcile"
STANDING = (None, *LIVE_STATES)


class Cause(StrEnum):
    """The cause of the present state. Each has its test."""

    HAS_BADGE = "has_badge"
    BADGE_ENDED = "badge_ended"
    AWARD_GONE = "award_gone"
    UNDER_WAY = "under_way"
    LEFT_BEHIND = "left_behind"
    PAUSED = "paused"
    HELD = "held"
    FUTURE = "future"
    WAITS = "waits"
    DUE = "due"
    OUTSTANDING = "outstanding"
    AWARD_MOVED = "award_moved"
    BLOCKED = "blocked"
    FAILED = "failed"
    CORRECTED = "corrected"
    CANCELLED = "cancelled"
    TAKEN_UP = "taken_up"
    TO_BE_CANCELLED = "to_be_cancelled"
    TO_BE_REPLACED = "to_be_replaced"
    NO_AWARD = "no_award"
    WITHDRAWN = "withdrawn"
    NO_INTEGRATION = "no_integration"
    BEFORE_COVERAGE = "before_coverage"
    NOT_CONNECTED = "not_connected"
    NOT_ENTERED = "not_entered"
    CANNOT_BE_ENTERED = "cannot_be_entered"


def answer(history: History, *, now: datetime) -> Answer:
    """Return why the user has the badge or not, what happens next, and what an operator can do. `now` is UTC."""
    row = history.row
    decisions = decide(history.pair, now=now)
    if row is None:
        return _not_in_the_ledger(history, decisions[-1], now)
    (decision,) = (each for each in decisions if each.row is row)
    # Before anything else: an unclear call is looked up whatever has changed since.
    if decision.ground is Ground.OUTSTANDING and IssuanceState.PENDING in (row.state, decision.state):
        return _outstanding(row, now)
    return _in_the_ledger(history, row, decision, now)


def _in_the_ledger(history: History, row: LedgerRow, decision: Decision, now: datetime) -> Answer:
    # What the next run will change comes first: an answer from the state alone would be out of date within minutes.
    match decision.action, row.state:
        case ((Action.CANCEL | Action.RESTORE), _):
            return _to_be_cancelled(decision)
        case Action.REVIVE, _:
            return _stopped(history) or _revived(row, decision, now)
        case _, IssuanceState.CANCELLED:
            return _cancelled(history, row)
        case Action.REPLACE, _:
            return _stopped(history) or _replaced(history, row, decision)
        case _, IssuanceState.ISSUED:
            return _issued(history, row)
        case _, IssuanceState.ISSUING:
            return _issuing(row, now)
        case _, IssuanceState.FAILED:
            return _failed(history, row)
        case _, IssuanceState.BLOCKED:
            return _blocked(history, row)
        case _:
            return _pending(history, row, now)


def _issued(history: History, row: LedgerRow) -> Answer:
    who = f"{history.user_id} has the badge of {history.achievement_id} since {moment(row.recorded_at)}"
    if row.credly_state not in STANDING:
        return Answer(
            cause=Cause.BADGE_ENDED,
            sentence=f"The badge was issued at {moment(row.recorded_at)}, but at Credly it is {row.credly_state} now.",
            next="Nothing: a badge that ended at Credly is not issued again automatically.",
            advice="If the user should have it nevertheless, run issue-badge with “replace”.",
        )
    if is_withdrawn(history.pair, row):
        return Answer(
            cause=Cause.AWARD_GONE,
            sentence=f"{who}, but the award was withdrawn afterwards.",
            next="revoke-withdrawn revokes it tonight if the achievement is set to do so; otherwise it stays.",
            advice="Revoke it at Credly if it must not stay.",
        )
    missing = row.origin is Origin.AWARD and not history.pair.valid_awards
    gone = " The platform no longer has a row of its award, which does not withdraw it." if missing else ""
    claimed = {"accepted": " The earner has accepted it.", "pending": " The earner has not accepted it yet."}
    return Answer(
        cause=Cause.HAS_BADGE,
        sentence=f"{who}.{claimed.get(row.credly_state or '', '')}{gone}",
        next="Nothing.",
        advice="If the user does not see it: it was sent to the primary e-mail address, and may have to be accepted.",
    )


def _outstanding(row: LedgerRow, now: datetime) -> Answer:
    when = max(row.not_before, now)
    return Answer(
        cause=Cause.OUTSTANDING,
        sentence=f"{Reason.ANSWER_UNCLEAR.sentence} It was sent with template {row.badge_template_id}.",
        next=f"The first run of reconcile after {moment(when)} looks the badge up; then the present settings apply.",
        when=when,
    )


def _issuing(row: LedgerRow, now: datetime) -> Answer:
    if row.lease_until is not None and row.lease_until <= now:
        return Answer(
            cause=Cause.LEFT_BEHIND,
            sentence=f"A run claimed it and ended without a result; its lease ended at {moment(row.lease_until)}.",
            next=f"{NEXT_RUN} looks the badge up at Credly, and issues it only if it does not exist.",
        )
    return Answer(
        cause=Cause.UNDER_WAY,
        sentence="A run is issuing it at this moment.",
        next=f"The run completes it; if it fails, another run takes over after {moment(row.lease_until)}.",
    )


def _to_be_cancelled(decision: Decision) -> Answer:
    # It is pending although it is no longer eligible: no run has planned since.
    then = "keeps the badge that was to be replaced" if decision.action is Action.RESTORE else "cancels it"
    if decision.ground is Ground.AS_IT_IS and decision.row and decision.row.reason is Reason.NAME_CORRECTED:
        return Answer(
            cause=Cause.TO_BE_CANCELLED,
            sentence="The badge was to be replaced for a corrected name; the achievement is not set to do so any more.",
            next=f"{NEXT_RUN} {then}.",
        )
    gone = decision.ground is Ground.AWARD_WITHDRAWN
    reason = Reason.AWARD_WITHDRAWN if gone else Reason.INTEGRATION_REMOVED
    sentence = "The award was withdrawn." if gone else reason.sentence
    return Answer(cause=Cause.TO_BE_CANCELLED, sentence=sentence, next=f"{NEXT_RUN} {then}.", advice=reason.advice)


def _replaced(history: History, row: LedgerRow, decision: Decision) -> Answer:
    if decision.ground is Ground.NAME_CORRECTED:
        return Answer(
            cause=Cause.TO_BE_REPLACED,
            sentence=f"{history.user_id} has the badge of {history.achievement_id} since {moment(row.recorded_at)}. "
            "The user's name was corrected since; the achievement is set to replace the badge in that case.",
            next="A run of reconcile within a day replaces it, unless too many names were corrected at once.",
            advice="To replace it at once, run reconcile with full, or issue-badge with “replace”.",
        )
    again = moment(decision.award.awarded_at if decision.award else None)
    return Answer(
        cause=Cause.TO_BE_REPLACED,
        sentence=f"{history.user_id} has the badge of {history.achievement_id} since {moment(row.recorded_at)}, and "
        f"was awarded it again at {again}; the achievement is set to replace the badge in that case.",
        next=f"{NEXT_RUN} replaces it.",
    )


def _pending(history: History, row: LedgerRow, now: datetime) -> Answer:
    if stopped := _stopped(history):
        return stopped
    if row.not_before > now:
        future = row.reason is Reason.AWARDED_IN_FUTURE
        why = row.reason.sentence if row.reason else "It is to be issued later."
        return Answer(
            cause=Cause.FUTURE if future else Cause.WAITS,
            sentence=f"{why} The next attempt is at {moment(row.not_before)} or later.",
            next=f"The first run of reconcile after {moment(row.not_before)} issues it{_after_look_up(row)}.",
            advice=row.reason.advice if row.reason else "",
            when=row.not_before,
        )
    return _would_fail(history) or Answer(
        cause=Cause.DUE,
        sentence=f"It has been due since {moment(row.not_before)} and waits for a run.",
        next=f"{NEXT_RUN} issues it{_after_look_up(row)}.",
        advice="If it stays due after several runs, look at their logs.",
    )


def _after_look_up(row: LedgerRow) -> str:
    return "; it is looked up at Credly first" if row.unclear_at else ""


def _stopped(history: History) -> Answer | None:
    # For every user of the achievement, so it goes before the data of this one.
    integration, achievement = history.integration, history.achievement_id
    if history.connected_at is None:
        return Answer(
            cause=Cause.NOT_CONNECTED,
            sentence=Reason.PORTAL_NOT_CONNECTED.sentence,
            next="The first run of reconcile after the portal is connected issues it.",
            advice=Reason.PORTAL_NOT_CONNECTED.advice,
        )
    if integration and integration.paused_at:
        return Answer(
            cause=Cause.PAUSED,
            sentence=f"Credly has been paused on {achievement} since {moment(integration.paused_at)}.",
            next="It waits until an operator resumes it.",
            advice="Run resume-credly.",
        )
    if integration and integration.held_at:
        return Answer(
            cause=Cause.HELD,
            sentence=f"The badges of {achievement} have been held since {moment(integration.held_at)}, because many "
            "would be issued at once.",
            next="It waits until an operator releases them.",
            advice="Run reconcile with preview, then release-credly; issue-badge issues this one alone.",
        )
    return None


def _would_fail(history: History) -> Answer | None:
    reason = history.cannot_be_sent
    if reason is None:
        return None
    return Answer(
        cause=Cause.DUE,
        sentence=f"It is due, but cannot be sent with the present data: {reason.sentence}",
        next=f"{NEXT_RUN} records it as failed, unless the data is corrected before.",
        advice=reason.advice,
    )


def _blocked(history: History, row: LedgerRow) -> Answer:
    reason = row.reason or Reason.PORTAL_NOT_CONNECTED
    if reason is Reason.PORTAL_NOT_CONNECTED:
        return _stopped(history) or Answer(
            cause=Cause.TAKEN_UP,
            sentence=f"It waited for its portal, which has been connected since {moment(history.connected_at)}.",
            next=f"{NEXT_RUN} issues it.",
        )
    return Answer(
        cause=Cause.BLOCKED,
        sentence=f"{reason.sentence} It has been waiting since {moment(row.updated_at)}.",
        next="Each run of reconcile checks at Credly again; once the cause is gone, the run issues the badge.",
        advice=reason.advice,
    )


def _failed(history: History, row: LedgerRow) -> Answer:
    if history.would_differ:
        return Answer(
            cause=Cause.CORRECTED,
            sentence="It failed; since then the data or the settings have changed, so that the request would differ.",
            next=f"{NEXT_RUN} tries it again (at most 500 failed issuances in each run).",
        )
    reason = history.cannot_be_sent or row.reason or Reason.REFUSED_BY_CREDLY
    message = f" Credly's message: {row.credly_message}" if row.credly_message else ""
    return Answer(
        cause=Cause.FAILED,
        sentence=f"{reason.sentence}{message}",
        next="Nothing until an operator acts; then the next run tries it again.",
        advice=reason.advice,
    )


def _revived(row: LedgerRow, decision: Decision, now: datetime) -> Answer:
    return Answer(
        cause=Cause.TAKEN_UP,
        sentence=f"It was cancelled at {moment(row.updated_at)}, and is eligible again.",
        next=_next_run_after(decision, now),
    )


def _cancelled(history: History, row: LedgerRow) -> Answer:
    reason = row.reason or Reason.INTEGRATION_REMOVED
    revoked = " The badge that was issued before was revoked." if row.revoked_badge_id else ""
    return Answer(
        cause=Cause.CANCELLED,
        sentence=f"{reason.sentence}{revoked}",
        next="Nothing: it is no longer eligible.",
        advice=_why_not_covered(history) or reason.advice,
    )


def _not_in_the_ledger(history: History, decision: Decision, now: datetime) -> Answer:
    if decision.action is Action.ENQUEUE:
        return _stopped(history) or _not_entered(history, decision, now)
    if history.moved is not None and decision.action in (Action.TRANSFER, Action.WAIT, Action.RETRY):
        waits = " looks up the outstanding call for it, and the run after that"
        waits = "" if decision.action is Action.TRANSFER else waits
        return Answer(
            cause=Cause.AWARD_MOVED,
            sentence=f"The award was another user's before: issuance {history.moved.issuance_id} was entered for it.",
            next=f"{NEXT_RUN}{waits} makes that issuance {history.user_id}'s.",
        )
    fault = history.fault
    if fault is not None and (history.pair.covered_awards or fault is AwardFault.WITHOUT_ID):
        return Answer(
            cause=Cause.CANNOT_BE_ENTERED,
            sentence=fault.sentence,
            next="Nothing until it is corrected.",
            advice=fault.advice,
        )
    if not history.pair.valid_awards:
        return _not_awarded(history)
    if history.integration is None:
        return Answer(
            cause=Cause.NO_INTEGRATION,
            sentence=f"Credly is not enabled on {history.achievement_id}, so it issues no badges.",
            next="Nothing.",
            advice=f"{_ENABLE} For awards made before, give issue_since.",
        )
    return Answer(
        cause=Cause.BEFORE_COVERAGE,
        sentence=f"The award is of {moment(history.pair.valid_awards[-1].awarded_at)}, and {history.achievement_id} "
        f"issues badges for awards since {moment(history.integration.coverage.covers_from)}.",
        next="Nothing.",
        advice="Run issue-badge, or enable-credly with an earlier issue_since.",
    )


def _not_awarded(history: History) -> Answer:
    if history.awards:
        return Answer(
            cause=Cause.WITHDRAWN,
            sentence=f"The award was withdrawn at {moment(history.awards[-1].withdrawn_at)}, before a badge was due.",
            next="Nothing.",
            advice=Reason.AWARD_WITHDRAWN.advice,
        )
    return Answer(
        cause=Cause.NO_AWARD,
        sentence=f"{history.user_id} was not awarded {history.achievement_id}.",
        next="Nothing until it is awarded.",
        advice="Check whether the platform has the award. issue-badge issues a badge without one.",
    )


def _not_entered(history: History, decision: Decision, now: datetime) -> Answer:
    first = _moment_of(decision)
    if first > now:
        return Answer(
            cause=Cause.FUTURE,
            sentence=f"{Reason.AWARDED_IN_FUTURE.sentence} That is {moment(first)}.",
            next=_next_run_after(decision, now),
            advice=Reason.AWARDED_IN_FUTURE.advice,
            when=first,
        )
    return _would_fail(history) or Answer(
        cause=Cause.NOT_ENTERED,
        sentence=f"It has been eligible since {moment(first)}, and no run has planned since the award was stored.",
        next=_next_run_after(decision, now),
        advice="reconcile runs every minute. If it has run since, look at its last runs; if not, start a worker.",
    )


def _next_run_after(decision: Decision, now: datetime) -> str:
    first = _moment_of(decision)
    return f"The first run of reconcile after {moment(first)} issues it." if first > now else f"{NEXT_RUN} issues it."


def _moment_of(decision: Decision) -> datetime:
    if decision.award is None:
        raise AssertionError(f"{decision.action} needs an award, and has none")
    return decision.award.awarded_at


def _why_not_covered(history: History) -> str:
    if history.integration is None and history.pair.valid_awards:
        return f"{_ENABLE} For awards made before, give issue_since; or run issue-badge."
    if history.pair.valid_awards:
        return "The award is older than the integration covers: run issue-badge, or give an earlier issue_since."
    return ""


_ENABLE = "Run enable-credly on the achievement."
