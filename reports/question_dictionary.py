"""The columns of the data sets that answer a question, for reports/dictionary.py."""

from reports.field import KEY, MOMENT, TEXT, WHOLE, YES_NO, Field, always, maybe, one_of
from reports.history_dictionary import ISSUANCE, OPERATOR, RUN, SUBJECT
from rules.datasets import Dataset
from rules.ledger.reasons import Reason
from rules.ledger.settings_changes import SettingsAction
from rules.ledger.states import IssuanceState

_TEMPLATE = always("badge_template_id", KEY, "The badge template's id at Credly.")
_REASON = one_of("reason", Reason, "Why; see docs/reference/reasons.md.", nullable=True)
_TRANSITION = always("transition", KEY, "What happened: see below.")

_FAILURES = (
    _REASON,
    always("of_data", YES_NO, "Whether the reason is in the user's data or the award on the platform."),
    always("failures", WHOLE, "How often issuances failed for it in the period, whatever became of them."),
    always("issuances", WHOLE, "How many issuances these were."),
    always("still_failed", WHOLE, "How many of the failures have not been resolved."),
)
_REFUSALS = (
    always("week", MOMENT, "The week, by the moment at which its Monday began in UTC."),
    maybe("status", WHOLE, "The HTTP status of Credly's answer."),
    maybe("code", TEXT, "The kind of error."),
    maybe("credly_message", TEXT, "Credly's message, with personal data masked."),
    always("calls", WHOLE, "How many calls were refused so."),
    always("issuances", WHOLE, "For how many issuances."),
)
_UNCLAIMED = (
    *ISSUANCE[:3],
    _TEMPLATE,
    ISSUANCE[3],
    always("recorded_at", MOMENT, "When Laurel recorded that Credly has the badge."),
    always("days", WHOLE, "Whole days since then; at least 30."),
    maybe("claimed", YES_NO, "No; empty where no audit has read the badge."),
    maybe("credly_state", KEY, "The badge's state at Credly in the last audit: pending, rejected, …"),
    maybe("audited_at", MOMENT, "When the audit last read the badge."),
    always("credly_badge_id", TEXT, "The badge's id at Credly."),
)
_SLOWEST = (
    always("place", WHOLE, "1 is the slowest. The thousand slowest of the period, by recorded_at."),
    *ISSUANCE[1:],
    always("seconds_to_badge", WHOLE, "Whole seconds from awarded_at to recorded_at."),
    one_of(
        "reason",
        Reason,
        "The reason for which it waited longest meanwhile; see docs/reference/reasons.md.",
        nullable=True,
    ),
    always("failed_seconds", WHOLE, "Of these seconds, how many it was failed."),
    always("blocked_seconds", WHOLE, "How many it was blocked."),
    always("pending_seconds", WHOLE, "How many it was pending. The rest was before its entry into the ledger."),
    always("awarded_at", MOMENT, "When the achievement was awarded."),
    always("entered_at", MOMENT, "When Laurel entered it into the ledger."),
    always("recorded_at", MOMENT, "When Laurel recorded that Credly has the badge."),
    ISSUANCE[0],
    _TEMPLATE,
)
_SETTINGS_EFFECTS = (
    always("settings_history_id", WHOLE, "The change of settings."),
    always("changed_at", MOMENT, "When the settings were changed."),
    *SUBJECT,
    one_of("action", SettingsAction, "What was done."),
    always("changes", TEXT, "JSON: by setting, the value before and the value afterwards."),
    RUN,
    OPERATOR,
    always("history_id", WHOLE, "The transition that the change caused."),
    *ISSUANCE,
    always("at", MOMENT, "When the transition was."),
    _TRANSITION,
    one_of("to_state", IssuanceState, "The state afterwards."),
    _REASON,
    one_of("state_now", IssuanceState, "The present state of the issuance."),
)
_BETWEEN_RUNS = (
    always("at", MOMENT, "When."),
    always("transition", KEY, "What happened to a badge (see below), or what was done to settings."),
    maybe("history_id", WHOLE, "The transition; empty for a change of settings, as are the other columns of badges."),
    maybe("issuance_id", WHOLE, "The issuance."),
    maybe("portal_id", KEY, "The portal of the badge, or whose connection was changed."),
    maybe("achievement_id", KEY, "The achievement of the badge, or whose integration was changed."),
    maybe("user_id", TEXT, "The user's key on the platform. No name, no address."),
    one_of("from_state", IssuanceState, "The state before.", nullable=True),
    one_of("to_state", IssuanceState, "The state afterwards.", nullable=True),
    _REASON,
    maybe("changes", TEXT, "Of settings: JSON with the value before and the value afterwards."),
    RUN,
    OPERATOR,
)
_RUN_TODAY = (
    *ISSUANCE[:3],
    _TEMPLATE,
    ISSUANCE[3],
    always("at", MOMENT, "When the run left it."),
    _TRANSITION,
    one_of("to_state", IssuanceState, "The state in which the run left it."),
    _REASON,
    always("would", KEY, "What a run would do today, if nothing had been sent: issue, wait, hold, block, failed, …"),
    maybe("why", TEXT, "Why it would not issue it."),
    maybe("request_changed", YES_NO, "Whether other values would be sent; empty where nothing was or would be sent."),
    always("differs", YES_NO, "Whether today's run would do something else, or send other values."),
)

QUESTION_FIELDS: dict[Dataset, tuple[Field, ...]] = {
    Dataset.FAILURES: _FAILURES,
    Dataset.REFUSALS: _REFUSALS,
    Dataset.UNCLAIMED: _UNCLAIMED,
    Dataset.SLOWEST: _SLOWEST,
    Dataset.SETTINGS_EFFECTS: _SETTINGS_EFFECTS,
    Dataset.BETWEEN_RUNS: _BETWEEN_RUNS,
    Dataset.RUN_TODAY: _RUN_TODAY,
}
