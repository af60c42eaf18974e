"""What people's flows share: finding what they name, talking to its organization, telling what came of it."""

from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from prefect import State, get_run_logger
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Throttled
from models.directory import Place, place_of
from models.integrations import CredlyConnection
from models.ledger.claiming import DueOrganization
from models.operator_runs import put_operator
from models.platform.names import achievement_names, portal_names
from rules.choices import Mistake, operator_id
from rules.markup import code, plain
from rules.near import did_you_mean
from rules.told import Told
from tasks.runtime.organization import Organization, TokenNotUsable, open_organization
from tasks.runtime.run import Run
from tasks.tell import NEEDS_A_PERSON

_LONGEST_STARTER = 255


async def tell_form(run: Run, operator: str, work: Coroutine[Any, Any, Told], *, key: str) -> State[None]:
    """Do the work of a form that changes something, as `tell`, and keep who started its run."""
    return await tell(_started(run, operator, work), key=key)


async def _started(run: Run, operator: str, work: Coroutine[Any, Any, Told]) -> Told:
    try:
        given = operator_id(operator)
        await run.database.write(put_operator, creator=await started_by(), operator_id=given, now=run.now())
        return await work
    finally:
        work.close()  # where it was not begun


async def tell(work: Awaitable[Told], *, key: str) -> State[None]:
    """Do the work and return the run's final state; a mistake becomes a failed state that says what to change.

    Args:
        work: what the flow does.
        key: the artifacts' key; artifacts of one key are kept as a series.
    """
    try:
        told = await work
    except Mistake as mistake:
        get_run_logger().error("%s", mistake)
        said = plain(str(mistake), longest=2000)
        await acreate_markdown_artifact(key=key, markdown=f"# Not done\n\n{said}", description=said)
        return Failed(message=str(mistake))
    said = plain(told.sentence, longest=2000)  # Prefect's pages read a description as Markdown, too
    await acreate_markdown_artifact(key=key, markdown=told.page or said, description=said)
    if told.badge_url:
        await acreate_link_artifact(key=f"{key}-link", link=told.badge_url, description=said)
    return Completed(name=NEEDS_A_PERSON if told.needs_a_person else "Completed", message=told.sentence)


async def known_portal(run: Run, portal_id: str) -> str:
    """Return the portal's name.

    Raises:
        Mistake: there is no such portal; names near ones.
    """
    names = await run.platform.read(portal_names)
    if portal_id not in names:
        raise Mistake(f"portal: there is no portal {code(portal_id)}.{did_you_mean(portal_id, names)}")
    return names[portal_id]


async def known_place(run: Run, achievement_id: str) -> Place:
    """Return the achievement with what is set up for it.

    Raises:
        Mistake: there is no such achievement; names near ones.
    """
    place = await place_of(run.database, achievement_id)
    if place is None:
        hint = did_you_mean(achievement_id, await run.platform.read(achievement_names))
        raise Mistake(f"achievement: there is no achievement {code(achievement_id)}.{hint}")
    return place


def connection_of(place: Place) -> CredlyConnection:
    """Return the connection of the achievement's portal.

    Raises:
        Mistake: the portal is not connected to Credly.
    """
    if place.connection is None:
        raise Mistake(
            f"achievement: its portal {code(place.portal_id)} is not connected to Credly. Run connect-portal first."
        )
    return place.connection


def credly_id(value: str, *, field: str) -> str:
    """Return the id in Credly's form.

    Raises:
        Mistake: it is no UUID.
    """
    try:
        return str(UUID(value.strip()))
    except ValueError:
        raise Mistake(
            f"{field}: {code(value, longest=60)} is not an id of Credly. Those look like "
            "1a2b3c4d-1234-4abc-8def-1a2b3c4d5e6f; copy it from the address of the page at Credly."
        ) from None


def reach_of(connection: CredlyConnection) -> DueOrganization:
    """Return how the connection's organization is reached."""
    return DueOrganization(
        organization_id=connection.organization_id,
        base_url=connection.base_url,
        token_block=connection.token_block,
        calls_per_second=connection.calls_per_second,
        portal_ids=(connection.portal_id,),
        due=1,
    )


@asynccontextmanager
async def asking(run: Run, reach: DueOrganization) -> AsyncIterator[Organization]:
    """Open the organization; whatever Credly or the token's block refuses becomes a mistake in words.

    Raises:
        Mistake: the token, the organization or the network is not as it should be.
    """
    try:
        async with open_organization(run, reach) as organization:
            yield organization
    except TokenNotUsable as unusable:
        raise Mistake(f"token_block: {unusable}") from None
    except CredlyError as error:
        raise Mistake(_in_words(error, reach)) from None


def _in_words(error: CredlyError, reach: DueOrganization) -> str:
    block, organization_id, base_url = code(reach.token_block), code(reach.organization_id), code(reach.base_url)
    match error:
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
    """Return who started the run, as far as Prefect knows: a user, a deployment, a schedule, or nobody."""
    async with get_client() as client:
        run = await client.read_flow_run(UUID(flow_run.id))
    creator = run.created_by
    return f"{creator.type}: {creator.display_value}"[:_LONGEST_STARTER] if creator else ""
