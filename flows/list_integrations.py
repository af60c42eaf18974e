"""Show connections and integrations."""

from prefect import State, flow

from rules.forms.inputs import PortalId
from tasks.forms.overview import integrations_overview
from tasks.forms.run_form import finish_form
from tasks.runtime.run import run_context


@flow(name="list-integrations", persist_result=False)
async def list_integrations(portal: PortalId = "") -> State[None]:
    """Show the connection of each portal, and for each achievement its counts, last badge, template and settings.

    Changes nothing. The names of the badge templates are read from Credly.

    Args:
        portal: Only this portal. Leave empty for all.
    """
    async with run_context() as run:
        return await finish_form(integrations_overview(run, portal), key="integrations")
