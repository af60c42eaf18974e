"""Read Credly's events, and save what became of badges."""

from prefect import State, flow

from rules.forms.inputs import PortalId
from tasks.forms.run_form import finish_form
from tasks.operations.events import follow_all
from tasks.runtime.run import run_context


@flow(name="follow-badges", persist_result=False)
async def follow_badges(portal: PortalId = "") -> State[None]:
    """Save the present states of badges and templates that Credly's events name: accepted, rejected, archived, …

    Changes nothing at Credly. Runs every 15 minutes; the audit stays as the net below.

    Args:
        portal: Only this portal's organization. Leave empty for all.
    """
    async with run_context() as run:
        return await finish_form(follow_all(run, portal), key="follow-badges")
