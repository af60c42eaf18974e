"""The columns of the data sets over the history, for reports/dictionary.py."""

from reports.field import KEY, MOMENT, TEXT, WHOLE, YES_NO, Field, always, maybe, one_of
from rules.datasets import Dataset
from rules.ledger.reasons import Reason
from rules.ledger.settings_changes import SettingsAction, SettingsOf
from rules.ledger.states import IssuanceState

OPERATOR = maybe("operator_id", TEXT, "The operator's id given in the form; empty if no form started the run.")
_RECONSTRUCTED = always("reconstructed", YES_NO, "Whether it is from before the history was kept, made from the row.")
ISSUANCE = (
    always("issuance_id", WHOLE, "The issuance."),
    always("portal_id", KEY, "The portal's key on the platform."),
    always("achievement_id", KEY, "The achievement's key on the platform."),
    always("user_id", TEXT, "The user's key on the platform. No name, no address. `erased::…` for an erased user."),
)
RUN = maybe("flow_run_id", TEXT, "The Prefect flow run, or the id of a command that stored settings; else empty.")
SUBJECT = (
    one_of("settings_of", SettingsOf, "Whether a portal's connection or an achievement's integration was changed."),
    always("subject_id", KEY, "The key of the portal or the achievement."),
)
_DAY = always("day", MOMENT, "The day in UTC: the moment at which it began. Days without any row have zeros.")
_REASON = one_of("reason", Reason, "Why; see docs/reference/reasons.md.", nullable=True)

_HISTORY = (
    always("history_id", WHOLE, "The key; ascending in the order of an issuance's transitions."),
    *ISSUANCE,
    always("badge_template_id", KEY, "The badge template that the issuance had afterwards."),
    always("at", MOMENT, "When."),
    always("transition", KEY, "What happened: see below."),
    maybe("from_state", KEY, "The state before; empty for a new issuance, or if not known."),
    always("to_state", KEY, "The state afterwards."),
    maybe("reason", KEY, "Why; see docs/reference/reasons.md."),
    RUN,
    OPERATOR,
    _RECONSTRUCTED,
)
_STATES = (
    always("history_id", WHOLE, "The transition that led into the state."),
    *ISSUANCE,
    always("badge_template_id", KEY, "The badge template that the issuance had."),
    one_of("state", IssuanceState, "The state."),
    _REASON,
    always("began_at", MOMENT, "When the state began."),
    maybe("ended_at", MOMENT, "When the next transition ended it; empty if it has not ended."),
    maybe("seconds", WHOLE, "Whole seconds from began_at to ended_at; empty if it has not ended."),
    always("transition", KEY, "The transition that led into it."),
    maybe("flow_run_id", TEXT, "The flow run of that transition; empty outside a run."),
    maybe("ended_by", KEY, "The transition that ended it."),
    maybe("ended_by_run_id", TEXT, "The flow run that ended it."),
    maybe("ended_by_operator_id", TEXT, "The operator's id given in the form that ended it."),
    one_of("state_now", IssuanceState, "The present state of the issuance."),
    _RECONSTRUCTED,
)
_SETTINGS_HISTORY = (
    always("settings_history_id", WHOLE, "The key; ascending in the order of the changes."),
    *SUBJECT,
    always("at", MOMENT, "When."),
    one_of("action", SettingsAction, "What was done."),
    always("changes", TEXT, "JSON: by setting, the value before and the value afterwards."),
    RUN,
    OPERATOR,
    _RECONSTRUCTED,
)
_SETTINGS = (
    always("settings_history_id", WHOLE, "The change that set the value."),
    *SUBJECT,
    always("setting", KEY, "The setting: a column of the connection or the integration."),
    maybe("value", TEXT, "Its value as text; empty if it was not set, or if the settings were removed."),
    always("began_at", MOMENT, "When the value was set."),
    maybe("ended_at", MOMENT, "When the next change replaced it; empty if it is in force."),
    RUN,
    OPERATOR,
    _RECONSTRUCTED,
)
_SENT_SETTINGS = (
    always("history_id", WHOLE, "The transition `issue` of the badge."),
    *ISSUANCE,
    always("sent_at", MOMENT, "When the request was sent; where the call is not kept, when the badge was recorded."),
    SUBJECT[0],
    always("setting", KEY, "The setting. Only those that had a value."),
    always("value", TEXT, "Its value at that moment, as text."),
    always("set_at", MOMENT, "When the value had been set."),
    always("settings_history_id", WHOLE, "The change that had set it."),
    RUN,
    OPERATOR,
)
_DAILY_EVENTS = (
    _DAY,
    always("entered", WHOLE, "Issuances that were entered into the ledger on this day."),
    always("issued", WHOLE, "Badges that were issued on this day, whatever became of them."),
    always("failed", WHOLE, "Issuances that failed on this day, whatever became of them."),
    always("left_failed", WHOLE, "Failed issuances that were corrected, retried or cancelled on this day."),
    always("blocked", WHOLE, "Issuances that became blocked on this day."),
    always("left_blocked", WHOLE, "Blocked issuances that were no longer blocked on this day."),
    always("cancelled", WHOLE, "Issuances that were cancelled on this day."),
    always("revoked", WHOLE, "Of these, badges that were revoked."),
    always("replaced", WHOLE, "Badges that were to be issued again in their place from this day on."),
    always("waiting", WHOLE, "Issuances that waited when the day ended."),
    always("failed_open", WHOLE, "Issuances that were failed when the day ended."),
    always("badges", WHOLE, "Badges that were issued, and not revoked or being replaced, when the day ended."),
)
_STATES_AT = (
    one_of("state", IssuanceState, "The state when the period ended, or now if it has no end."),
    _REASON,
    always("issuances", WHOLE, "How many."),
)
_TIME_IN_STATE = (
    one_of("state", IssuanceState, "The state."),
    _REASON,
    always("stays", WHOLE, "How often an issuance came into this state, for this reason, in the period."),
    always("open", WHOLE, "Of these, how many are still in it. They count with their time until now."),
    always("median_seconds", WHOLE, "Half of them took no longer (by nearest rank)."),
    always("p95_seconds", WHOLE, "95 of 100 took no longer (by nearest rank)."),
    always("longest_seconds", WHOLE, "The longest time."),
    always("total_seconds", WHOLE, "All of them together."),
)
_FUNNEL_EVENTS = (
    always("entered", WHOLE, "Issuances that were entered into the ledger in the period."),
    always("issued", WHOLE, "Of these, how many were ever issued."),
    always("issued_directly", WHOLE, "Of these, how many had neither failed nor been blocked."),
    always("failed", WHOLE, "How many of those entered ever failed."),
    always("failed_then_issued", WHOLE, "Of the failed ones, how many were issued afterwards."),
    always("blocked", WHOLE, "How many of those entered were ever blocked."),
    always("blocked_then_issued", WHOLE, "Of the blocked ones, how many were issued afterwards."),
    always("cancelled", WHOLE, "How many of those entered were ever cancelled."),
    always("revoked", WHOLE, "How many of those entered had a badge that was revoked."),
)

HISTORY_FIELDS: dict[Dataset, tuple[Field, ...]] = {
    Dataset.HISTORY: _HISTORY,
    Dataset.STATES: _STATES,
    Dataset.SETTINGS_HISTORY: _SETTINGS_HISTORY,
    Dataset.SETTINGS: _SETTINGS,
    Dataset.SENT_SETTINGS: _SENT_SETTINGS,
    Dataset.DAILY_EVENTS: _DAILY_EVENTS,
    Dataset.STATES_AT: _STATES_AT,
    Dataset.TIME_IN_STATE: _TIME_IN_STATE,
    Dataset.FUNNEL_EVENTS: _FUNNEL_EVENTS,
}
