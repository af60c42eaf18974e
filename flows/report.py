"""Write the report."""

from prefect import State, flow

from rules.forms.inputs import Day, PathText, PortalId
from rules.forms.period import Span
from tasks.forms.run_form import finish_form
from tasks.operations.reports import report_file
from tasks.runtime.run import run_context


@flow(name="report", flow_run_name="report {span}", persist_result=False)
async def report(
    span: Span = Span.LAST_7_DAYS,
    from_day: Day = None,
    until_day: Day = None,
    portal: PortalId = "",
    folder: PathText = "",
) -> State[None]:
    """Write a report as one HTML file that opens offline: key numbers, charts and tables, with plain explanations.

    The run's page shows where the file is. It holds ids and counts, and no names or addresses of learners.

    Args:
        span: Which days, in UTC. A week is from Monday to Sunday. Not used where a day is given below.
        from_day: The first day, in UTC.
        until_day: The last day, in UTC, included. Leave empty for today.
        portal: Only this portal. Leave empty for all.
        folder: A folder in that of the setting LAUREL_REPORTS_FOLDER, created if missing. Leave empty for that one.
    """
    async with run_context() as run:
        work = report_file(run, span=span, days=(from_day, until_day), portal=portal, folder=folder)
        return await finish_form(work, key="report")
