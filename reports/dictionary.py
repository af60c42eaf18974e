"""The columns of every data set: pandas dtypes and meanings. docs/reference/data-dictionary.md is written from it."""

from dataclasses import dataclass
from enum import StrEnum

from models.ledger.tables import AttemptKind, AttemptOutcome
from rules.datasets import Dataset, Group
from rules.ledger.reasons import Reason
from rules.ledger.settings_changes import SettingsAction, SettingsOf
from rules.ledger.states import IssuanceState, Origin

TEXT, KEY, WHOLE, YES_NO, MOMENT = "string", "category", "Int64", "boolean", "datetime64[us, UTC]"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column. `choices` are the values that it can have, where they are known; `nullable`: it can be empty."""

    name: str
    dtype: str
    meaning: str
    nullable: bool = True
    choices: tuple[str, ...] = ()


def _always(name: str, dtype: str, meaning: str) -> Field:
    return Field(name=name, dtype=dtype, meaning=meaning, nullable=False)


def _maybe(name: str, dtype: str, meaning: str) -> Field:
    return Field(name=name, dtype=dtype, meaning=meaning)


def _one_of(name: str, choices: type[StrEnum], meaning: str, *, nullable: bool = False) -> Field:
    values = tuple(member.value for member in choices)
    return Field(name=name, dtype=KEY, meaning=meaning, nullable=nullable, choices=values)


# Portals and achievements are categories: a frame of a million rows has few different ones.
_PORTAL = (
    _always("portal_id", KEY, "The portal's key on the platform."),
    _maybe("portal_name", KEY, "The portal's present name; empty if the platform has the portal no more."),
)
_ACHIEVEMENT = (
    _always("achievement_id", KEY, "The achievement's key on the platform."),
    _maybe("achievement_name", KEY, "The achievement's present name; empty if the platform has it no more."),
    _always("badge_template_id", KEY, "The badge template's id at Credly."),
    _always("user_id", TEXT, "The user's key on the platform. No name, no address. `erased::…` for an erased user."),
)
_RUN = (
    _maybe("flow_run_id", TEXT, "The Prefect flow run (issue-organization, issue-badge, …); empty outside a run."),
    _maybe("task_run_id", TEXT, "The Prefect task run."),
)

_ISSUANCES = (
    _always("issuance_id", WHOLE, "The key of the row in the ledger; attempts refer to it."),
    *_PORTAL,
    *_ACHIEVEMENT,
    _maybe("award_id", TEXT, "The award's key on the platform; empty if issued by hand without an award."),
    _one_of("origin", Origin, "What the issuance was entered for: an award, or a request."),
    _one_of("state", IssuanceState, "Its present state."),
    _one_of(
        "reason",
        Reason,
        "Why it waits, failed or was cancelled; docs/reference/reasons.md explains each.",
        nullable=True,
    ),
    _maybe("credly_message", TEXT, "Credly's message when it refused, with personal data masked."),
    _always("attempts", WHOLE, "The number of attempts used up."),
    _maybe("awarded_at", MOMENT, "When the achievement was awarded."),
    _always("entered_at", MOMENT, "When Laurel entered it into the ledger."),
    _always("not_before", MOMENT, "The moment from which a run may issue it."),
    _always("changed_at", MOMENT, "When its state changed last."),
    _maybe("recorded_at", MOMENT, "When Laurel recorded that Credly has the badge. Only of issued ones."),
    _maybe("issued_at", MOMENT, "The date on the badge: as a rule the moment of the award."),
    _maybe("seconds_to_badge", WHOLE, "Whole seconds from awarded_at to recorded_at; empty if it was issued before."),
    _maybe("credly_badge_id", TEXT, "The badge's id at Credly. Only of issued ones. `erased::…` for an erased user."),
    _always("adopted", YES_NO, "Whether the badge was found at Credly, issued by a call whose response was lost."),
    _maybe("credly_state", KEY, "The badge's state at Credly when it was read last: pending, accepted, rejected, …"),
    _maybe("audited_at", MOMENT, "When the badge was last read at Credly, by follow-badges or the audit."),
    _maybe("claimed", YES_NO, "Whether the earner accepted the badge; empty until this badge was read at Credly."),
    _maybe("company_id", TEXT, "The company of the award."),
    _maybe("project_id", TEXT, "The project of the award."),
    _always("evidence_sent", TEXT, "The kinds of evidence on the badge, with commas."),
    _always("evidence_left_out", TEXT, "What was left out, as kind:why; see docs/reference/reasons.md."),
    *_RUN,
)
PERSONAL = (
    _maybe("first_name", TEXT, "The user's present first name. Personal data."),
    _maybe("last_name", TEXT, "The user's present last name. Personal data."),
    _maybe("email", TEXT, "The user's present primary e-mail address. Personal data."),
    _maybe("badge_url", TEXT, "The badge's public page, which shows the name. Personal data."),
    _always("requested_by", TEXT, "Who requested it by hand, by Prefect's name. Personal data."),
    _always("request_reason", TEXT, "The operator's reason for the request. Personal data."),
)
ISSUE_LINK = _maybe("issue_link", TEXT, "Opens `issue-badge` filled in. Only of failed and blocked ones.")
_ATTEMPTS = (
    _always("attempt_id", WHOLE, "The key of the attempt."),
    _always("issuance_id", WHOLE, "The issuance that the call was made for."),
    *_PORTAL,
    *_ACHIEVEMENT,
    _one_of("kind", AttemptKind, "Which call it was."),
    _one_of("outcome", AttemptOutcome, "The result of the call."),
    _always("started_at", MOMENT, "When the call began."),
    _always("duration_ms", WHOLE, "How long it took, in milliseconds."),
    _maybe("status", WHOLE, "The HTTP status of Credly's answer; empty if there was none."),
    _maybe("code", TEXT, "The kind of error, if there was one."),
    _maybe("credly_message", TEXT, "Credly's message, with personal data masked."),
    _maybe("request_id", TEXT, "Laurel's id of the request, sent to Credly as X-Request-Id."),
    _maybe("credly_request_id", TEXT, "Credly's id of the request, for its support."),
    _maybe("request_fingerprint", TEXT, "Equal for equal requests; holds nothing of what was sent."),
    _always("field_names", TEXT, "Which fields were sent, not their values."),
    *_RUN,
)
_RUNS = (
    _maybe("flow_run_id", TEXT, "The Prefect flow run that made the calls; empty for calls outside a run."),
    *_PORTAL,
    _always("first_call_at", MOMENT, "When its first call for this portal began."),
    _always("last_call_at", MOMENT, "When its last call for this portal began."),
    _always("issuances", WHOLE, "For how many issuances it made calls."),
    _always("calls", WHOLE, "How many calls it made; the columns that follow count them by outcome."),
    *(_always(outcome.value, WHOLE, f"Calls with the outcome {outcome.value}.") for outcome in AttemptOutcome),
    _always("slowest_ms", WHOLE, "Its slowest call, in milliseconds."),
)
_UNCLAIMED = (
    _always("issuance_id", WHOLE, "The issuance of the badge."),
    *_PORTAL,
    *_ACHIEVEMENT,
    _always("recorded_at", MOMENT, "Since when the badge can be claimed: when Laurel recorded that Credly has it."),
)
BADGES = (
    _always("issuance_id", WHOLE, "The key."),
    _PORTAL[0],
    _ACHIEVEMENT[0],
    _always("user_id", TEXT, "The user's key on the platform. No name, no address."),
    _always("badge_template_id", KEY, "The badge template's id at Credly."),
    _one_of("state", IssuanceState, "The state of the issuance."),
    _maybe("recorded_at", MOMENT, "When Laurel recorded that Credly has the badge. Only of issued ones."),
    _maybe("badge_url", TEXT, "The badge's page at Credly, which shows the name; it claims nothing. Personal data."),
    _maybe("claim_state", KEY, "Of issued ones: pending until the earner accepts; accepted, rejected, revoked, …"),
)
_DAILY = (
    _always("day", MOMENT, "The day in UTC: the moment at which it began. Days without any row are there, with zeros."),
    _always("awarded", WHOLE, "Issuances whose award is dated on this day."),
    _always("entered", WHOLE, "Issuances that were entered into the ledger on this day."),
    _always("issued", WHOLE, "Badges that were recorded as issued on this day."),
    _always("failed", WHOLE, "Issuances that failed on this day and are still failed."),
    _always("cancelled", WHOLE, "Issuances that were cancelled on this day and are still cancelled."),
    _always(
        "waiting", WHOLE, "Issuances that waited when the day ended: entered, and not issued, failed or cancelled."
    ),
)
_TIME_TO_BADGE = (
    _always("badges", WHOLE, "Badges recorded in the period that have a time from award to badge."),
    _always("fastest_seconds", WHOLE, "The shortest time from award to badge."),
    _always("median_seconds", WHOLE, "Half of the badges took no longer (by nearest rank)."),
    _always("p95_seconds", WHOLE, "95 of 100 badges took no longer (by nearest rank)."),
    _always("slowest_seconds", WHOLE, "The longest time."),
)
_REASONS = (
    _one_of("state", IssuanceState, "Their present state: every state but issued."),
    _one_of("reason", Reason, "Why; empty for what has not been tried yet.", nullable=True),
    _always("issuances", WHOLE, "How many."),
)
_FUNNEL = (
    _always("entered", WHOLE, "Issuances that were entered into the ledger in the period."),
    _always("issued", WHOLE, "Of these, how many are issued now, whenever that was."),
    _always("claim_known", WHOLE, "Of the issued ones, how many were read at Credly since."),
    _always("claimed", WHOLE, "Of these, how many the earner has accepted."),
    _always("waiting", WHOLE, "How many wait now (pending, issuing, blocked)."),
    _always("failed", WHOLE, "How many are failed now."),
    _always("cancelled", WHOLE, "How many are cancelled now."),
)
_OPERATOR = _maybe("operator_id", TEXT, "The operator's id given in the form; empty if no form started the run.")
_RECONSTRUCTED = _always("reconstructed", YES_NO, "Whether it is from before the history was kept, made from the row.")
HISTORY = (
    _always("history_id", WHOLE, "The key; ascending in the order of an issuance's transitions."),
    _always("issuance_id", WHOLE, "The issuance."),
    _PORTAL[0],
    _ACHIEVEMENT[0],
    _always("user_id", TEXT, "The user's key on the platform. No name, no address."),
    _always("badge_template_id", KEY, "The badge template that the issuance had afterwards."),
    _always("at", MOMENT, "When."),
    _always("transition", KEY, "What happened: see below."),
    _maybe("from_state", KEY, "The state before; empty for a new issuance, or if not known."),
    _always("to_state", KEY, "The state afterwards."),
    _maybe("reason", KEY, "Why; see docs/reference/reasons.md."),
    _maybe("flow_run_id", TEXT, "The Prefect flow run, or the id of a command that stored settings; else empty."),
    _OPERATOR,
    _RECONSTRUCTED,
)
SETTINGS_HISTORY = (
    _always("settings_history_id", WHOLE, "The key; ascending in the order of the changes."),
    _one_of("settings_of", SettingsOf, "Whether a portal's connection or an achievement's integration was changed."),
    _always("subject_id", KEY, "The key of the portal or the achievement."),
    _always("at", MOMENT, "When."),
    _one_of("action", SettingsAction, "What was done."),
    _always("changes", TEXT, "JSON: by setting, the value before and the value afterwards."),
    _maybe("flow_run_id", TEXT, "The Prefect flow run, or the id of a command that stored settings; else empty."),
    _OPERATOR,
    _RECONSTRUCTED,
)

FIELDS: dict[Dataset, tuple[Field, ...]] = {
    Dataset.ISSUANCES: _ISSUANCES,
    Dataset.ATTEMPTS: _ATTEMPTS,
    Dataset.RUNS: _RUNS,
    Dataset.UNCLAIMED: _UNCLAIMED,
    Dataset.DAILY: _DAILY,
    Dataset.TIME_TO_BADGE: _TIME_TO_BADGE,
    Dataset.REASONS: _REASONS,
    Dataset.FUNNEL: _FUNNEL,
}
_GROUPED = {
    Group.PORTAL: _always("portal_id", KEY, "The portal, where counts are grouped by it."),
    Group.ACHIEVEMENT: _always("achievement_id", KEY, "The achievement, where counts are grouped by it."),
    Group.TEMPLATE: _always("badge_template_id", KEY, "The badge template, where counts are grouped by it."),
    Group.RUN: _maybe("flow_run_id", KEY, "The run that wrote the latest result, where counts are grouped by it."),
}


def fields(dataset: Dataset, *, by: tuple[Group, ...] = (), personal_data: bool = False) -> tuple[Field, ...]:
    """Return the columns of a data set; for counts, the columns of the groups come first."""
    extra = PERSONAL if personal_data and dataset is Dataset.ISSUANCES else ()
    return (*(_GROUPED[group] for group in by), *FIELDS[dataset], *extra)
