"""The page docs/reference/data-dictionary.md: the views, and the columns of every frame and export."""

from collections.abc import Iterable
from itertools import chain

from models.metadata import views_metadata
from reports.dictionary import BADGES, FIELDS, ISSUE_LINK, PERSONAL
from reports.field import Field
from rules.datasets import Dataset, Group, Moment
from rules.ledger.transitions import RULES

_INTRO = """\
What Laurel keeps of its work, as analysts read it: as SQL views in the database of Laurel's own tables, as pandas
frames, as exported files and as a report. All of them show the same rows under the same names. Every moment is in UTC,
and a day is a day in UTC: it begins at midnight UTC wherever you are, and has 24 hours on every date.

The ledger keeps the **latest state** of each issuance, its history, and every call made to Credly for it (permanently,
unless `LAUREL_KEEP_ATTEMPTS` or `LAUREL_ARCHIVE_AFTER` is set). `daily`, `funnel`, `reasons` and the report count the
latest state: "failed on Monday" is what failed on Monday *and is still failed*. `daily_events`, `funnel_events`,
`states_at` and `time_in_state` count what happened: what failed on Monday, whatever became of it. While a run is
sending it, an issuance counts as pending there, because the history has no claims."""

_SQL = """\
`python -m scripts.setup_deployment` creates the views, on SQLite and PostgreSQL alike. They hold ids and no names.
Where the platform's relations are in the same database, join them with `portals`, `achievements` and `users` where you
may; with a platform of its own (`LAUREL_PLATFORM_URL`) the names come from there. `laurel_badges` has the link of each
badge's page as well, which shows the name: grant it only to those who may see names. Prefect's runs are not in this
database: `laurel_runs` is put together from the calls that each flow run made, so a run that made no call is not in it.
A run can work for several portals and has one row for each; the columns can be added up over them.

| view | one row is | key |
|---|---|---|
| `laurel_issuances` | one badge of one user, in its latest state | `issuance_id` |
| `laurel_attempts` | one call made to Credly for an issuance | `attempt_id`; `issuance_id` leads to the issuance |
| `laurel_runs` | the calls of one flow run for one portal | `flow_run_id`, `portal_id` |
| `laurel_history` | one transition of an issuance | `history_id`; `issuance_id` leads to the issuance |
| `laurel_badges` | one user and achievement, for the platform's own pages | `issuance_id` |
| `laurel_states` | one state of an issuance, from when to when | `history_id` of the transition into it |
| `laurel_settings_history` | one change of a connection or an integration | `settings_history_id` |
| `laurel_settings` | one value of a setting, from when to when | `settings_history_id`, `setting` |
| `laurel_sent_settings` | one setting of a badge when it was sent | `history_id`, `settings_of`, `setting` |

    -- yesterday's refusals with Credly's own words, on PostgreSQL
    SELECT issuance_id, user_id, achievement_id, credly_message
    FROM laurel_attempts
    WHERE outcome = 'refused' AND started_at >= date_trunc('day', now() AT TIME ZONE 'UTC') - interval '1 day';

    -- how many issuances were in which state on 2 November at noon
    SELECT state, reason, count(*) FROM laurel_states
    WHERE began_at < '2026-11-02 12:00:00' AND (ended_at IS NULL OR ended_at >= '2026-11-02 12:00:00')
    GROUP BY state, reason;

The columns are those of the frames of the same name below, without `portal_name` and `achievement_name`. On SQLite,
moments are text that sorts by time (`2026-11-02 08:00:00.000000`, in UTC)."""

_FRAMES = """\
    import asyncio
    from models.database import database_of
    from reports import frames
    from rules.datasets import Group
    from rules.forms.period import period_of
    from settings import settings

    async def look() -> None:
        database = database_of(settings())
        november = period_of("2026-11-01", "2026-11-30")          # both days included
        print(await frames.issuances(database, november, portal="portal-northwind"))
        print(await frames.daily(database, november, by=(Group.PORTAL,)))
        await database.dispose()

    asyncio.run(look())                                           # in a notebook: await look()

Counts take `by=`. These columns then come first.

{groups}

dtypes are pandas's nullable ones; `category` columns
with known values have all of them as categories, in the order given here."""

_EXPORTS = """\
`python -m reports.export issuances --from 2026-11-01 --until 2026-11-30 --format parquet` and the flow `export` write
the same columns to a file. Which moment has to be in the period:

{moments}

For issuances it can be chosen: {choices}.

- **CSV**: UTF-8; an empty cell is nothing, `""` is empty text. A text that a spreadsheet would take for a formula (it
  begins with `=`, `+`, `-`, `@` or a tab) has an apostrophe in front.
- **Parquet**: `pandas.read_parquet(file, dtype_backend="numpy_nullable")` gives the frame back.
- **Excel**: at most 1 048 575 rows; moments are without a zone, in UTC, because Excel has none.
- **Names and addresses** are in an export of issuances only where it was asked for them (`--personal-data`). The file's
  name then says so, a note lies beside it, and nobody but its owner may read it. The columns are listed below."""

_ONE_ROW = {
    Dataset.ISSUANCES: "One row is one badge of one user, in its latest state.",
    Dataset.ATTEMPTS: "One row is one call made to Credly for an issuance.",
    Dataset.RUNS: "One row is what one flow run did for one portal. Put together from its calls.",
    Dataset.HISTORY: "One row is one transition of an issuance.",
    Dataset.STATES: "One row is one state of an issuance, for one reason: from which moment to which.",
    Dataset.SETTINGS_HISTORY: "One row is one change of a connection or an integration.",
    Dataset.SETTINGS: "One row is one value of one setting: from which moment to which.",
    Dataset.SENT_SETTINGS: "One row is one setting that was in force when a badge was sent.",
    Dataset.DAILY: "One row is one day (of one group).",
    Dataset.DAILY_EVENTS: "One row is one day (of one group). From the history.",
    Dataset.STATES_AT: "One row is one state and reason (of one group). From the history.",
    Dataset.TIME_IN_STATE: "One row is one state and reason (of one group). From the history.",
    Dataset.TIME_TO_BADGE: "One row is one group; without `by`, there is one row, or none if there is no badge.",
    Dataset.REASONS: "One row is one state and reason (of one group): of all that is not issued.",
    Dataset.FUNNEL: "One row is one group: what was entered in the period, and what became of it until now.",
    Dataset.FUNNEL_EVENTS: "One row is one group: what was entered in the period, and what ever happened to it.",
    Dataset.FAILURES: "One row is one reason (of one group), the most frequent first. From the history.",
    Dataset.REFUSALS: "One row is one answer of Credly in one week (of one group), the newest week first.",
    Dataset.SLOWEST: "One row is one badge: the thousand that took longest from award to badge, the slowest first.",
    Dataset.UNCLAIMED: "One row is one badge that is not known to be claimed. Without a last day: issued at least 30\n"
    "days ago.",
    Dataset.SETTINGS_EFFECTS: "One row is one transition that a change of settings caused: one of its own run, or,\n"
    "until the next change of the same settings, an entry of an earlier award, an issue of what had waited for a\n"
    "resume or a release, an unblocking, a revival, a new template, or a badge without integration or connection.",
    Dataset.BETWEEN_RUNS: "One row is one transition, or one change of settings, after the end of the earlier of two\n"
    "runs and up to the end of the later one.",
    Dataset.RUN_TODAY: "One row is one badge that the run left in some state, and what a run would do with it today.",
}
PERIOD = {
    Dataset.ISSUANCES: "entered_at",
    Dataset.ATTEMPTS: "started_at",
    Dataset.RUNS: "first_call_at",
    Dataset.HISTORY: "at",
    Dataset.STATES: "began_at",
    Dataset.SETTINGS_HISTORY: "at",
    Dataset.SETTINGS: "began_at",
    Dataset.SENT_SETTINGS: "sent_at",
    Dataset.DAILY: "the moment that each column counts",
    Dataset.DAILY_EVENTS: "the moment of the transition",
    Dataset.STATES_AT: "the moment at which the period ends",
    Dataset.TIME_IN_STATE: "began_at",
    Dataset.TIME_TO_BADGE: "recorded_at",
    Dataset.REASONS: "changed_at",
    Dataset.FUNNEL: "entered_at",
    Dataset.FUNNEL_EVENTS: "the moment at which an issuance was entered",
    Dataset.FAILURES: "began_at",
    Dataset.REFUSALS: "started_at",
    Dataset.UNCLAIMED: "recorded_at",
    Dataset.SLOWEST: "recorded_at",
    Dataset.SETTINGS_EFFECTS: "changed_at",
    Dataset.BETWEEN_RUNS: "no period: the two runs",
    Dataset.RUN_TODAY: "no period: the run",
}


def data_dictionary_page() -> str:
    generated = "<!-- Written by `python -m scripts.write_reference`; a test holds that it is current. -->"
    groups = "\n".join(f"- {dataset}: {_groups(dataset)}" for dataset in Dataset if dataset.groups)
    moments = "\n".join(f"- {dataset}: {_quoted(PERIOD[dataset])}" for dataset in Dataset)
    choices = ", ".join(f"`{moment}`" for moment in Moment)
    parts = [
        "# Data dictionary",
        generated,
        _INTRO,
        "## In SQL",
        _SQL,
        "## In Python",
        _FRAMES.format(groups=groups),
        "## As files",
        _EXPORTS.format(moments=moments, choices=choices),
        *chain.from_iterable(_section(dataset) for dataset in Dataset),
        "## Transitions",
        "What `transition` and `ended_by` can be. Claims, and what was released unsent, are not in the history.\n"
        "Queries: [run-history.md](../how-to/run-history.md#the-history-of-a-badge).",
        _transitions(),
        "## badges",
        "View `laurel_badges`. One row is one user and achievement, in its latest state, without erased users.\n"
        "How to show it: [claims.md](../how-to/claims.md).",
        _table(BADGES),
        "## Personal data",
        "Only where it is asked for, and only of issuances.",
        _table(PERSONAL),
        "## Links",
        "Only in files of issuances that the form `export` writes.",
        _table([ISSUE_LINK]),
    ]
    return "\n\n".join(parts) + "\n"


def _groups(dataset: Dataset) -> str:
    return ", ".join(f"`{group}`" for group in Group if group in dataset.groups)


def _section(dataset: Dataset) -> list[str]:
    view = f"laurel_{dataset}"
    where = f"`frames.{dataset}`" + (f", view `{view}`" if view in views_metadata.tables else "")
    return [f"## {dataset}", f"{where}. {_ONE_ROW[dataset]}", _table(FIELDS[dataset])]


def _transitions() -> str:
    kept = [f"| `{name}` | {rule.sentence} |" for name, rule in RULES.items() if rule.in_history]
    return "\n".join(["| transition | what happened |", "|---|---|", *kept])


def _quoted(words: str) -> str:
    return f"`{words}`" if "_" in words else words


def _table(fields: Iterable[Field]) -> str:
    rows = [
        f"| `{field.name}` | `{field.dtype}` | {'yes' if field.nullable else ''} | {_meaning(field)} |"
        for field in fields
    ]
    return "\n".join(["| column | dtype | can be empty | what it means |", "|---|---|---|---|", *rows])


def _meaning(field: Field) -> str:
    values = ", ".join(f"`{choice}`" for choice in field.choices)
    return f"{field.meaning} One of {values}." if values else field.meaning
