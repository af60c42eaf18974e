"""Export issuances, calls, runs or counts to a file."""

from prefect import State, flow

from rules.datasets import Dataset, FileFormat, Group, Moment
from rules.forms.inputs import AchievementId, Day, PathText, PortalId, RunId
from rules.ledger.states import IssuanceState
from tasks.forms.run_form import finish_form
from tasks.operations.reports import export_file
from tasks.runtime.run import run_context


@flow(name="export", flow_run_name="export {what}", persist_result=False)
async def export(
    what: Dataset = Dataset.ISSUANCES,
    file_format: FileFormat = FileFormat.CSV,
    from_day: Day = None,
    until_day: Day = None,
    portal: PortalId = "",
    achievement: AchievementId = "",
    run: RunId = "",
    other_run: RunId = "",
    moment: Moment = Moment.ENTERED,
    by: tuple[Group, ...] = (),
    states: tuple[IssuanceState, ...] = (),
    personal_data: bool = False,
    folder: PathText = "",
) -> State[None]:
    """Write issuances, calls to Credly, runs or counts to a file, for a period and a portal.

    The run's page shows where the file is; the first thousand rows are a table there as well.
    docs/reference/data-dictionary.md explains every column.

    Args:
        what: Single rows: issuances (as they are now), attempts (calls to Credly), runs, history (each transition),
            states (each from when to when), unclaimed, slowest (from award to badge), settings_history (who changed
            what), settings, sent_settings (in force when a badge was sent), settings_effects (what a change caused),
            between_runs, run_today (what a run would do today). Counts: daily and funnel (as it is now), daily_events
            and funnel_events (what happened), states_at (when until_day ended), time_in_state, time_to_badge, reasons
            (of what is not issued), failures, refusals (by Credly, by week). docs/how-to/run-history.md has the
            questions that each answers.
        file_format: csv, bom.csv (which Excel opens with a double click), parquet, or xlsx (at most 1 048 575 rows).
        from_day: The first day, in UTC. Leave empty for everything before.
        until_day: The last day, in UTC, included. Leave empty for everything since.
        portal: Only this portal. Leave empty for all.
        achievement: Only this achievement. Leave empty for all.
        run: Only for run_today and between_runs: a run's id, or the address of its page.
        other_run: Only for between_runs: the run to compare it with.
        moment: Only for issuances: which of their times must be in the period.
        by: Only for counts: what they are grouped by; not all have all of these. Leave empty for one count of all.
        states: Only for issuances, states, states_at and time_in_state: which of them, such as failed and blocked.
            Leave empty for all.
        personal_data: Only for issuances: include names and e-mail addresses. The file is then marked, and only its
            owner can read it.
        folder: A folder in that of the setting LAUREL_REPORTS_FOLDER, created if missing. Leave empty for that one.
    """
    async with run_context() as context:
        work = export_file(
            context,
            dataset=what,
            file_format=file_format,
            days=(from_day, until_day),
            portal=portal,
            achievement=achievement,
            run=run,
            other_run=other_run,
            moment=moment,
            by=by,
            states=states,
            personal_data=personal_data,
            folder=folder,
        )
        return await finish_form(work, key="export")
