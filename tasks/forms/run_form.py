"""What all forms share: checking ids, opening the Credly organization, and reporting the result."""

from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from prefect import State, get_run_logger
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import SecretStr

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Throttled
from models.ledger.claiming import DueOrganization
from models.platform.names import achievement_names, portal_names
from models.setup.lookups import AchievementSetup, achievement_setup
from models.setup.operator_runs import put_operator
from models.setup.tables import CredlyConnection
from rules.forms.inputs import InvalidInput, operator_id
from rules.forms.suggestions import did_you_mean
from rules.markdown import code, plain
from rules.wording import FormResult
from tasks.issuing.run_report import NEEDS_ATTENTION
from tasks.runtime.organization import Organization, TokenNotUsable, open_organization
from tasks.runtime.run import Run

_LONGEST_CREATOR = 255


async def run_form(run: Run, operator: str, work: Coroutine[Any, Any, FormResult], *, key: str) -> State[None]:
    """Run a form that changes something: record who started it, then do as `finish_form`."""
    return await finish_form(_with_operator(run, operator, work), key=key)


async def _with_operator(run: Run, operator: str, work: Coroutine[Any, Any, FormResult]) -> FormResult:
    try:
        given = operator_id(operator)
        await run.database.write(put_operator, creator=await started_by(), operator_id=given, now=run.now())
        return await work
    finally:
        # Where it was never awaited: otherwise Python warns of it.
        work.close()


async def finish_form(work: Awaitable[FormResult], *, key: str) -> State[None]:
    """Await the work, write its page as an artifact with this key, and return the final state of the run.

    Invalid input becomes a failed state whose message names the field to change.
    """
    try:
        result = await work
    except InvalidInput as invalid:
        get_run_logger().error("%s", invalid)
        description = plain(str(invalid), longest=2000)
        await acreate_markdown_artifact(key=key, markdown=f"# Not done\n\n{description}", description=description)
        return Failed(message=str(invalid))
    # Escaped, because Prefect renders descriptions as Markdown too.
    description = plain(result.sentence, longest=2000)
    await acreate_markdown_artifact(key=key, markdown=result.page or description, description=description)
    if result.badge_url:
        await acreate_link_artifact(key=f"{key}-link", link=result.badge_url, description=description)
    return Completed(name=NEEDS_ATTENTION if result.needs_attention else "Completed", message=result.sentence)


async def known_portal(run: Run, portal_id: str) -> str:
    """Return the portal's name.

    Raises:
        InvalidInput: there is no such portal; the message suggests similar ids.
    """
    names = await run.platform.read(portal_names)
    if portal_id not in names:
        raise InvalidInput(f"portal: there is no portal {code(portal_id)}.{did_you_mean(portal_id, names)}")
    return names[portal_id]


async def known_achievement(run: Run, achievement_id: str) -> AchievementSetup:
    """Return the achievement with its integration and connection.

    Raises:
        InvalidInput: there is no such achievement; the message suggests similar ids.
    """
    setup = await achievement_setup(run.database, achievement_id)
    if setup is None:
        hint = did_you_mean(achievement_id, await run.platform.read(achievement_names))
        raise InvalidInput(f"achievement: there is no achievement {code(achievement_id)}.{hint}")
    return setup


def connection_of(setup: AchievementSetup) -> CredlyConnection:
    """Return the connection of the achievement's portal.

    Raises:
        InvalidInput: the portal is not connected to Credly.
    """
    if setup.connection is None:
        raise InvalidInput(
            f"achievement: its portal {code(setup.portal_id)} is not connected to Credly. Run connect-portal first."
        )
    return setup.connection


def credly_id(value: str, *, field: str) -> str:
    """Return the id as Credly writes it.

    Raises:
        InvalidInput: it is not a UUID.
    """
    try:
        return str(UUID(value.strip()))
    except ValueError:
        raise InvalidInput(
            f"{field}: {code(value, longest=60)} is not an id of Credly. Those look like "
            "1a2b3c4d-1234-4abc-8def-1a2b3c4d5e6f; copy it from the address of the page at Credly."
        ) from None


def organization_of(connection: CredlyConnection) -> DueOrganization:
    return DueOrganization(
        organization_id=connection.organization_id,
        base_url=connection.base_url,
        token_block=connection.token_block,
        calls_per_second=connection.calls_per_second,
        portal_ids=(connection.portal_id,),
        due=1,
    )


@asynccontextmanager
async def open_for_form(
    run: Run, target: DueOrganization, *, token: SecretStr | None = None
) -> AsyncIterator[Organization]:
    """Open the organization. Errors of Credly or of the token's block become messages for the operator.

    Raises:
        InvalidInput: token, organization or network does not work; nothing was changed.
    """
    try:
        async with open_organization(run, target, token=token) as organization:
            yield organization
    except TokenNotUsable as unusable:
        raise InvalidInput(f"token_block: {unusable}") from None
    except CredlyError as error:
        raise InvalidInput(_message(error, target)) from None


def _message(error: CredlyError, target: DueOrganization) -> str:
    block, organization_id, base_url = code(target.token_block), code(target.organization_id), code(target.base_url)
    match error:
        # Not in Credly's form: a proxy or another server answered, so neither token nor id is to blame.
        case NotConnected() | NotFound() if not error.in_credly_form and error.code != "redirected":
            return f"environment: something other than Credly answered at {base_url} ({error}). Nothing was changed."
        case NotConnected(status=401):
            return f"token_block: Credly refused the token in Secret block {block}. Put a valid one there."
        case NotConnected():
            return (
                f"token_block: the token in Secret block {block} may not do this for organization {organization_id}. "
                "Use a token of that organization, with write permission."
            )
        case NotFound():
            return f"organization_id: Credly knows no organization {organization_id} at {base_url}."
        case NotSent():
            return f"environment: {base_url} could not be reached. Check the address and the network."
        case Throttled():
            return "Credly asked for fewer calls. Nothing was changed; try again in a minute."
        case _:
            return f"Credly gave no usable answer ({error}). Nothing was changed; try again."


async def started_by() -> str:
    """Return who started the run according to Prefect: a user, a deployment, a schedule, or an empty string."""
    async with get_client() as client:
        run = await client.read_flow_run(UUID(flow_run.id))
    creator = run.created_by
    return f"{creator.type}: {creator.display_value}"[:_LONGEST_CREATOR] if creator else ""
