"""Give up calls to a Credly organization that cannot be reached any more."""

from prefect import State, flow

from rules.forms.inputs import CredlyId, OperatorId, PortalId
from tasks.forms.abandon_calls import abandon_calls as abandon
from tasks.forms.run_form import finish_form, run_form
from tasks.runtime.run import run_context


@flow(name="abandon-calls", flow_run_name="abandon calls of {portal}", persist_result=False)
async def abandon_calls(
    portal: PortalId, organization_id: CredlyId, preview: bool = True, operator: OperatorId = ""
) -> State[None]:
    """Give up a portal's calls whose outcome is not known, at an organization that it left and that cannot be asked.

    A badge whose answer was lost is looked for in the organization that it was sent to, before anything else is sent.
    Where that organization's token has ended permanently, it waits until you put a valid token into its Secret block,
    or give the calls up here. Then the badge is issued by the portal's present settings, and may be a second one.

    Args:
        portal: Choose the portal, or enter its id on the platform.
        organization_id: The id of the former organization at Credly (a long id with dashes).
        preview: Count the calls, and change nothing. Switch it off to give them up.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        work = abandon(run, portal, organization_id, preview=preview)
        if preview:
            return await finish_form(work, key="abandon-calls")
        return await run_form(run, operator, work, key="abandon-calls")
