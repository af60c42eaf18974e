"""The data sets of analytics, how they are grouped, and the file formats they are exported in."""

from enum import StrEnum


class Dataset(StrEnum):
    """A table of what happened; docs/reference/data-dictionary.md has its columns."""

    ISSUANCES = "issuances"
    ATTEMPTS = "attempts"
    RUNS = "runs"
    HISTORY = "history"
    STATES = "states"
    SETTINGS_HISTORY = "settings_history"
    SETTINGS = "settings"
    SENT_SETTINGS = "sent_settings"
    DAILY = "daily"
    DAILY_EVENTS = "daily_events"
    STATES_AT = "states_at"
    TIME_IN_STATE = "time_in_state"
    TIME_TO_BADGE = "time_to_badge"
    REASONS = "reasons"
    FUNNEL = "funnel"
    FUNNEL_EVENTS = "funnel_events"
    FAILURES = "failures"
    REFUSALS = "refusals"
    UNCLAIMED = "unclaimed"
    SLOWEST = "slowest"
    SETTINGS_EFFECTS = "settings_effects"
    BETWEEN_RUNS = "between_runs"
    RUN_TODAY = "run_today"

    @property
    def is_log(self) -> bool:
        """Whether it has one row for each event, rather than counts."""
        return self in _LOGS

    @property
    def of_run(self) -> bool:
        """Whether it answers a question about a run."""
        return self in (Dataset.BETWEEN_RUNS, Dataset.RUN_TODAY)

    @property
    def of_history(self) -> bool:
        """Whether it is made from the transitions of a period, or from its calls."""
        return self in _OF_HISTORY

    @property
    def groups(self) -> frozenset["Group"]:
        """What it can be grouped by; nothing where it has single rows."""
        return frozenset() if self.is_log else _IN_ALL | _ALSO[self]

    @property
    def has_states(self) -> bool:
        """Whether its rows have a state to choose."""
        return self in (Dataset.ISSUANCES, Dataset.STATES, Dataset.STATES_AT, Dataset.TIME_IN_STATE)


_LOGS = frozenset(
    {
        Dataset.ISSUANCES,
        Dataset.ATTEMPTS,
        Dataset.RUNS,
        Dataset.HISTORY,
        Dataset.STATES,
        Dataset.SETTINGS_HISTORY,
        Dataset.SETTINGS,
        Dataset.SENT_SETTINGS,
        Dataset.UNCLAIMED,
        Dataset.SLOWEST,
        Dataset.SETTINGS_EFFECTS,
        Dataset.BETWEEN_RUNS,
        Dataset.RUN_TODAY,
    }
)
_OF_HISTORY = frozenset(
    {
        Dataset.ATTEMPTS,
        Dataset.RUNS,
        Dataset.HISTORY,
        Dataset.STATES,
        Dataset.SENT_SETTINGS,
        Dataset.DAILY_EVENTS,
        Dataset.TIME_IN_STATE,
        Dataset.FUNNEL_EVENTS,
        Dataset.FAILURES,
        Dataset.REFUSALS,
        Dataset.SLOWEST,
        Dataset.SETTINGS_EFFECTS,
    }
)


class Group(StrEnum):
    """What counts are grouped by."""

    PORTAL = "portal"
    ACHIEVEMENT = "achievement"
    TEMPLATE = "template"
    RUN = "run"
    USER = "user"
    COMPANY = "company"
    PROJECT = "project"
    ORIGIN = "origin"
    OPERATOR = "operator"
    WEEKDAY = "weekday"
    HOUR = "hour"

    @property
    def column(self) -> str:
        return _COLUMNS[self]


_COLUMNS = {
    Group.PORTAL: "portal_id",
    Group.ACHIEVEMENT: "achievement_id",
    Group.TEMPLATE: "badge_template_id",
    Group.RUN: "flow_run_id",
    Group.USER: "user_id",
    Group.COMPANY: "company_id",
    Group.PROJECT: "project_id",
    Group.ORIGIN: "origin",
    Group.OPERATOR: "operator_id",
    Group.WEEKDAY: "weekday",
    Group.HOUR: "hour",
}
_IN_ALL = frozenset({Group.PORTAL, Group.ACHIEVEMENT, Group.TEMPLATE, Group.RUN})
_OF_AWARD = frozenset({Group.COMPANY, Group.PROJECT, Group.ORIGIN})
_IN_DAY = frozenset({Group.WEEKDAY, Group.HOUR})
# Those of a day have a row for each day and group, which would be too many for users.
_ALSO: dict[Dataset, frozenset[Group]] = {
    Dataset.DAILY: _OF_AWARD,
    Dataset.DAILY_EVENTS: frozenset({Group.OPERATOR}),
    Dataset.STATES_AT: frozenset({Group.USER}),
    Dataset.TIME_IN_STATE: frozenset({Group.USER}),
    Dataset.TIME_TO_BADGE: _OF_AWARD | {Group.USER},
    Dataset.REASONS: _OF_AWARD | {Group.USER},
    Dataset.FUNNEL: _OF_AWARD | {Group.USER},
    Dataset.FUNNEL_EVENTS: frozenset({Group.USER}),
    Dataset.FAILURES: _IN_DAY | {Group.USER},
    Dataset.REFUSALS: _IN_DAY | {Group.USER},
}


class Moment(StrEnum):
    """Which moment of an issuance has to be in the period."""

    ENTERED = "entered_at"
    AWARDED = "awarded_at"
    RECORDED = "recorded_at"
    CHANGED = "changed_at"


class FileFormat(StrEnum):
    """The format of an exported file; its value is the end of the file's name."""

    CSV = "csv"
    CSV_WITH_BOM = "bom.csv"
    PARQUET = "parquet"
    EXCEL = "xlsx"


# Upper bound in seconds, exclusive, and the label in reports.
TIME_BUCKETS: tuple[tuple[int | None, str], ...] = (
    (60, "under 1 min"),
    (5 * 60, "1–5 min"),
    (15 * 60, "5–15 min"),
    (30 * 60, "15–30 min"),
    (3600, "30–60 min"),
    (3 * 3600, "1–3 h"),
    (12 * 3600, "3–12 h"),
    (24 * 3600, "12–24 h"),
    (3 * 86400, "1–3 days"),
    (7 * 86400, "3–7 days"),
    (30 * 86400, "7–30 days"),
    (None, "30 days or more"),
)


def bucket_of(seconds: int) -> int:
    for number, (bound, _words) in enumerate(TIME_BUCKETS):
        if bound is None or seconds < bound:
            return number
    raise AssertionError("the last bucket has no bound")
