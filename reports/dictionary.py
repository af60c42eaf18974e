"""The columns of every data set: pandas dtypes and meanings. docs/reference/data-dictionary.md is written from it."""

from models.ledger.tables import AttemptKind, AttemptOutcome
from reports.field import KEY, MOMENT, TEXT, WHOLE, YES_NO, Field, always, maybe, one_of
from reports.history_dictionary import HISTORY_FIELDS
from reports.question_dictionary import QUESTION_FIELDS
from rules.datasets import Dataset, Group
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin

# Portals and achievements are categories: a frame of a million rows has few different ones.
_PORTAL = (
    always("portal_id", KEY, "The portal's key on the platform."),
    maybe("portal_name", KEY, "The portal's present name; empty if the platform has the portal no more."),
)
_ACHIEVEMENT = (
    always("achievement_id", KEY, "The achievement's key on the platform."),
    maybe("achievement_name", KEY, "The achievement's present name; empty if the platform has it no more."),
    always("badge_template_id", KEY, "The badge template's id at Credly."),
    always("user_id", TEXT, "The user's key on the platform. No name, no address. `erased::…` for an erased user."),
)
_RUN = (
    maybe("flow_run_id", TEXT, "The Prefect flow run (issue-organization, issue-badge, …); empty outside a run."),
    maybe("task_run_id", TEXT, "The Prefect task run."),
)

_ISSUANCES = (
    always("issuance_id", WHOLE, "The key of the row in the ledger; attempts refer to it."),
    *_PORTAL,
    *_ACHIEVEMENT,
    maybe("award_id", TEXT, "The award's key on the platform; empty if issued by hand without an award."),
    one_of("origin", Origin, "What the issuance was entered for: an award, or a request."),
    one_of("state", IssuanceState, "Its present state."),
    one_of(
        "reason",
        Reason,
        "Why it waits, failed or was cancelled; docs/reference/reasons.md explains each.",
        nullable=True,
    ),
    maybe("credly_message", TEXT, "Credly's message when it refused, with personal data masked."),
    always("attempts", WHOLE, "The number of attempts used up."),
    maybe("awarded_at", MOMENT, "When the achievement was awarded."),
    always("entered_at", MOMENT, "When Laurel entered it into the ledger."),
    always("not_before", MOMENT, "The moment from which a run may issue it."),
    always("changed_at", MOMENT, "When its state changed last."),
    maybe("recorded_at", MOMENT, "When Laurel recorded that Credly has the badge. Only of issued ones."),
    maybe("issued_at", MOMENT, "The date on the badge: as a rule the moment of the award."),
    maybe("seconds_to_badge", WHOLE, "Whole seconds from awarded_at to recorded_at; empty if it was issued before."),
    maybe("credly_badge_id", TEXT, "The badge's id at Credly. Only of issued ones. `erased::…` for an erased user."),
    always("adopted", YES_NO, "Whether the badge was found at Credly, issued by a call whose response was lost."),
    maybe("credly_state", KEY, "The badge's state at Credly when it was read last: pending, accepted, rejected, …"),
    maybe("audited_at", MOMENT, "When the badge was last read at Credly, by follow-badges or the audit."),
    maybe("claimed", YES_NO, "Whether the earner accepted the badge; empty until this badge was read at Credly."),
    maybe("company_id", TEXT, "The company of the award."),
    maybe("project_id", TEXT, "The project of the award."),
    always("evidence_sent", TEXT, "The kinds of evidence on the badge, with commas."),
    always("evidence_left_out", TEXT, "What was left out, as kind:why; see docs/reference/reasons.md."),
    *_RUN,
)
PERSONAL = (
    maybe("first_name", TEXT, "The user's present first name. Personal data."),
    maybe("last_name", TEXT, "The user's present last name. Personal data."),
    maybe("email", TEXT, "The user's present primary e-mail address. Personal data."),
    maybe("badge_url", TEXT, "The badge's public page, which shows the name. Personal data."),
    always("requested_by", TEXT, "Who requested it by hand, by Prefect's name. Personal data."),
    always("request_reason", TEXT, "The operator's reason for the request. Personal data."),
)
ISSUE_LINK = maybe("issue_link", TEXT, "Opens `issue-badge` filled in. Only of failed and blocked ones.")
_ATTEMPTS = (
    always("attempt_id", WHOLE, "The key of the attempt."),
    always("issuance_id", WHOLE, "The issuance that the call was made for."),
    *_PORTAL,
    *_ACHIEVEMENT,
    one_of("kind", AttemptKind, "Which call it was."),
    one_of("outcome", AttemptOutcome, "The result of the call."),
    always("started_at", MOMENT, "When the call began."),
    always("duration_ms", WHOLE, "How long it took, in milliseconds."),
    maybe("status", WHOLE, "The HTTP status of Credly's answer; empty if there was none."),
    maybe("code", TEXT, "The kind of error, if there was one."),
    maybe("credly_message", TEXT, "Credly's message, with personal data masked."),
    maybe("request_id", TEXT, "Laurel's id of the request, sent to Credly as X-Request-Id."),
    maybe("credly_request_id", TEXT, "Credly's id of the request, for its support."),
    maybe("request_fingerprint", TEXT, "Equal for equal requests; holds nothing of what was sent."),
    always("field_names", TEXT, "Which fields were sent, not their values."),
    *_RUN,
)
_RUNS = (
    maybe("flow_run_id", TEXT, "The Prefect flow run that made the calls; empty for calls outside a run."),
    *_PORTAL,
    always("first_call_at", MOMENT, "When its first call for this portal began."),
    always("last_call_at", MOMENT, "When its last call for this portal began."),
    always("issuances", WHOLE, "For how many issuances it made calls."),
    always("calls", WHOLE, "How many calls it made; the columns that follow count them by outcome."),
    *(always(outcome.value, WHOLE, f"Calls with the outcome {outcome.value}.") for outcome in AttemptOutcome),
    always("slowest_ms", WHOLE, "Its slowest call, in milliseconds."),
)
BADGES = (
    always("issuance_id", WHOLE, "The key."),
    _PORTAL[0],
    _ACHIEVEMENT[0],
    always("user_id", TEXT, "The user's key on the platform. No name, no address."),
    always("badge_template_id", KEY, "The badge template's id at Credly."),
    one_of("state", IssuanceState, "The state of the issuance."),
    maybe("recorded_at", MOMENT, "When Laurel recorded that Credly has the badge. Only of issued ones."),
    maybe("badge_url", TEXT, "The badge's page at Credly, which shows the name; it claims nothing. Personal data."),
    maybe("claim_state", KEY, "Of issued ones: pending until the earner accepts; accepted, rejected, revoked, …"),
)
_DAILY = (
    always("day", MOMENT, "The day in UTC: the moment at which it began. Days without any row are there, with zeros."),
    always("awarded", WHOLE, "Issuances whose award is dated on this day."),
    always("entered", WHOLE, "Issuances that were entered into the ledger on this day."),
    always("issued", WHOLE, "Badges that were recorded as issued on this day."),
    always("failed", WHOLE, "Issuances that failed on this day and are still failed."),
    always("cancelled", WHOLE, "Issuances that were cancelled on this day and are still cancelled."),
    always("waiting", WHOLE, "Issuances that waited when the day ended: entered, and not issued, failed or cancelled."),
)
_TIME_TO_BADGE = (
    always("badges", WHOLE, "Badges recorded in the period that have a time from award to badge."),
    always("fastest_seconds", WHOLE, "The shortest time from award to badge."),
    always("median_seconds", WHOLE, "Half of the badges took no longer (by nearest rank)."),
    always("p95_seconds", WHOLE, "95 of 100 badges took no longer (by nearest rank)."),
    always("slowest_seconds", WHOLE, "The longest time."),
)
_REASONS = (
    one_of("state", IssuanceState, "Their present state: every state but issued."),
    one_of("reason", Reason, "Why; empty for what has not been tried yet.", nullable=True),
    always("issuances", WHOLE, "How many."),
)
_FUNNEL = (
    always("entered", WHOLE, "Issuances that were entered into the ledger in the period."),
    always("issued", WHOLE, "Of these, how many are issued now, whenever that was."),
    always("claim_known", WHOLE, "Of the issued ones, how many were read at Credly since."),
    always("claimed", WHOLE, "Of these, how many the earner has accepted."),
    always("waiting", WHOLE, "How many wait now (pending, issuing, blocked)."),
    always("failed", WHOLE, "How many are failed now."),
    always("cancelled", WHOLE, "How many are cancelled now."),
)
FIELDS: dict[Dataset, tuple[Field, ...]] = {
    Dataset.ISSUANCES: _ISSUANCES,
    Dataset.ATTEMPTS: _ATTEMPTS,
    Dataset.RUNS: _RUNS,
    Dataset.DAILY: _DAILY,
    Dataset.TIME_TO_BADGE: _TIME_TO_BADGE,
    Dataset.REASONS: _REASONS,
    Dataset.FUNNEL: _FUNNEL,
    **HISTORY_FIELDS,
    **QUESTION_FIELDS,
}
_GROUPED = {
    Group.PORTAL: always("portal_id", KEY, "The portal, where counts are grouped by it."),
    Group.ACHIEVEMENT: always("achievement_id", KEY, "The achievement, where counts are grouped by it."),
    Group.TEMPLATE: always("badge_template_id", KEY, "The badge template, where counts are grouped by it."),
    Group.RUN: maybe("flow_run_id", KEY, "The run that wrote the latest result, where counts are grouped by it."),
    Group.USER: always("user_id", KEY, "The user's key, where counts are grouped by it."),
    Group.COMPANY: maybe("company_id", KEY, "The company of the award, where counts are grouped by it."),
    Group.PROJECT: maybe("project_id", KEY, "The project of the award, where counts are grouped by it."),
    Group.ORIGIN: always("origin", KEY, "An award, or a request by hand, where counts are grouped by it."),
    Group.OPERATOR: maybe("operator_id", KEY, "The operator's id given in the form, where counts are grouped by it."),
    Group.WEEKDAY: always("weekday", KEY, "The weekday in UTC, such as `1 Mon`, where counts are grouped by it."),
    Group.HOUR: always("hour", KEY, "The hour of the day in UTC, 00 to 23, where counts are grouped by it."),
}


def fields(dataset: Dataset, *, by: tuple[Group, ...] = (), personal_data: bool = False) -> tuple[Field, ...]:
    """Return the columns of a data set; for counts, the columns of the groups come first."""
    extra = PERSONAL if personal_data and dataset is Dataset.ISSUANCES else ()
    return (*(_GROUPED[group] for group in by), *FIELDS[dataset], *extra)
