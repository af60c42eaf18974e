"""Connect a portal to Credly."""

from typing import Annotated

from prefect import State, flow
from pydantic import Field

from rules.choices import Environment, OperatorId, PlatformId
from tasks.connecting import connect
from tasks.people import tell_form
from tasks.runtime.run import run_context


@flow(name="connect-portal", flow_run_name="connect {portal}", persist_result=False)
async def connect_portal(
    portal: PlatformId,
    organization_id: str,
    token_block: str,
    environment: Environment = Environment.PRODUCTION,
    base_url: str = "",
    calls_per_second: Annotated[float, Field(gt=0, le=1000)] = 3.0,
    missing_name: Annotated[str, Field(max_length=100)] = "",
    deletion_withdraws: bool = False,
    operator: OperatorId = "",
) -> State[None]:
    """Connect a portal to its organization at Credly, or change how it is connected.

    The token and the organization are checked with Credly first; nothing is stored unless both are right. The token
    itself is never typed here: put it into a Prefect block of the type *Secret* and give the block's name.

    Args:
        portal: The portal's id on the platform.
        organization_id: The id of your organization at Credly (a long id with dashes).
        token_block: Name of the Prefect Secret block that holds Credly's authorization token.
        environment: Which Credly. Try things out in the sandbox: production sends mail to real people.
        base_url: Only for the environment "other", such as http://127.0.0.1:8090/v1. Leave empty otherwise.
        calls_per_second: How fast Credly may be called for this organization.
        missing_name: Sent in place of a blank first or last name, such as "-". Leave empty to have such users fail.
        deletion_withdraws: Count an award whose row was deleted as withdrawn. Otherwise only withdrawn_at counts.
        operator: Your own id, kept in the history. No e-mail address.
    """
    async with run_context() as run:
        return await tell_form(
            run,
            operator,
            connect(
                run,
                portal,
                organization_id=organization_id,
                token_block=token_block,
                environment=environment,
                base_url=base_url,
                calls_per_second=calls_per_second,
                missing_name=missing_name,
                deletion_withdraws=deletion_withdraws,
            ),
            key="connect-portal",
        )
