"""Connect a portal to Credly."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.forms.inputs import BlockName, CredlyId, Environment, OperatorId, PortalId, free_text
from rules.forms.settings import ConnectionForm
from tasks.forms.connections import connect
from tasks.forms.run_form import run_form
from tasks.runtime.run import run_context


@flow(name="connect-portal", flow_run_name="connect {portal}", persist_result=False)
async def connect_portal(
    portal: PortalId,
    organization_id: CredlyId,
    token_block: BlockName,
    environment: Environment = Environment.PRODUCTION,
    base_url: Annotated[str, free_text(255)] = "",
    calls_per_second: Annotated[float, Field(ge=0.1, le=1000)] = 3.0,
    missing_name: Annotated[str, free_text(100)] = "",
    deletion_withdraws: bool = False,
    renew_token: bool = False,
    operator: OperatorId = "",
) -> State[None]:
    """Connect a portal to its organization at Credly, or change its connection.

    Token and organization are checked with Credly first; nothing is stored unless both are accepted. Do not enter the
    token here: save it in a Prefect block of the type *Secret*, and enter the name of the block.

    Args:
        portal: Choose the portal, or enter its id on the platform.
        organization_id: The id of your organization at Credly (a long id with dashes).
        token_block: Name of the Prefect Secret block that holds Credly's authorization token.
        environment: Which Credly. Use the sandbox for trials: production sends e-mail to real learners.
        base_url: Only for the environment "other", such as http://127.0.0.1:8090/v1. Leave empty otherwise.
        calls_per_second: The rate limit for calls to Credly for this organization.
        missing_name: Sent in place of a blank first or last name, such as "-". If empty, badges of such users fail.
        deletion_withdraws: Count an award whose row was deleted as withdrawn. Otherwise only withdrawn_at counts.
        renew_token: Make a new token at Credly two weeks before this one ends, and store it in the block.
        operator: Your own id, kept in the history. No e-mail address.
    """
    form = ConnectionForm(
        organization_id=organization_id,
        token_block=token_block,
        environment=environment,
        base_url=base_url,
        calls_per_second=calls_per_second,
        missing_name=missing_name,
        deletion_withdraws=deletion_withdraws,
        renew_token=renew_token,
    )
    async with run_context() as run:
        return await run_form(run, operator, connect(run, portal, form), key="connect-portal", changes_menus=True)
