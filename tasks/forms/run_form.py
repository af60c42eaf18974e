"""What all forms share: checking ids, opening the Credly organization, and reporting the result."""

from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import State, get_run_logger
from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import SecretStr

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Throttled, Unclear
from models.ledger.claiming import DueOrganization
from models.platform.names import achievement_names, exists, portal_names
from models.platform.people import near_user_ids, user_exists
from models.platform.tables import Achievement, Portal, User
from models.setup.lookups import AchievementSetup, achievement_setup
from models.setup.operator_runs import put_operator
from models.setup.tables import CredlyConnection
from rules.forms.inputs import BASE_URLS, InvalidInput, operator_id
from rules.forms.suggestions import ids_of_credly, no_credly_id, unknown
from rules.markdown import code, plain
from rules.wording import FormResult
from tasks.menus.publish import publish_after_form
from tasks.runtime.run import NEEDS_ATTENTION, Run, name_run

if TYPE_CHECKING:
    from tasks.runtime.organization import Organization

_LONGEST_CREATOR = 255
FIND_USER = " `python -m models.find_user` finds an id by the primary e-mail address or a part of the name."


async def run_form(
    run: Run, operator: str, work: Coroutine[Any, Any, FormResult], *, key: str, changes_menus: bool = False
) -> State[None]:
    """Run a form that changes something: record who started it, then do as `finish_form`."""
    state = await finish_form(_with_operator(run, operator, work), key=key)
    if changes_menus and state.is_completed():
        await publish_after_form(run)
    return state


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
        return await not_done(invalid, key=key)
    # Escaped, because Prefect renders descriptions as Markdown too.
    description = plain(result.sentence, longest=2000)
    await acreate_markdown_artifact(key=key, markdown=result.page or description, description=description)
    if result.link:
        await acreate_link_artifact(key=f"{key}-link", link=result.link, description=description)
    if result.rows:
        rows = [dict(row) for row in result.rows]
        await acreate_table_artifact(key=f"{key}-table", table=rows, description=description)
    if result.outcome:
        await name_run(f"{flow_run.name} · {result.outcome}")
    if result.failed:
        return Failed(message=result.sentence)
    return Completed(name=NEEDS_ATTENTION if result.needs_attention else "Completed", message=result.sentence)


async def not_done(invalid: InvalidInput, *, key: str) -> State[None]:
    """Write the message as the run's page, and return the failed state of the run."""
    get_run_logger().error("%s", invalid)
    description = plain(str(invalid), longest=2000)
    await acreate_markdown_artifact(key=key, markdown=f"# Not done\n\n{description}", description=description)
    return Failed(message=str(invalid))


async def known_portal(run: Run, portal_id: str) -> str:
    """Return the portal's name.

    Raises:
        InvalidInput: there is no such portal; the message suggests similar ids.
    """
    names = await run.platform.read(portal_names)
    if portal_id not in names:
        raise unknown("portal", portal_id, names, instead=await _owner_of(run, portal_id))
    return names[portal_id]


async def known_achievement(run: Run, achievement_id: str) -> AchievementSetup:
    """Return the achievement with its integration and connection.

    Raises:
        InvalidInput: there is no such achievement; the message suggests similar ids.
    """
    setup = await achievement_setup(run.database, achievement_id)
    if setup is None:
        names = await run.platform.read(achievement_names)
        raise unknown("achievement", achievement_id, names, instead=await _owner_of(run, achievement_id))
    return setup


async def known_user(run: Run, user_id: str) -> None:
    """Check that the platform has this user.

    Raises:
        InvalidInput: there is no such user; the message suggests similar ids.
    """
    if not await run.platform.read(user_exists, user_id):
        near = dict.fromkeys(await run.platform.read(near_user_ids, user_id), "")
        raise unknown("user", user_id, near, instead=await _owner_of(run, user_id), advice=FIND_USER)


async def _owner_of(run: Run, typed: str) -> str:
    """Return what has an id that was entered in the field of another: fields are easily swapped."""
    kinds = (("a portal", Portal), ("an achievement", Achievement), ("a user", User))
    for kind, model in kinds:
        if await run.platform.read(exists, model, typed):
            return kind
    return ""


def no_connection(portal: str) -> str:
    return f"{f'portal {portal}' if portal else 'no portal'} is {'not ' if portal else ''}connected to Credly"


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
    """Return the id as Credly writes it, also out of the address of one of its pages.

    Raises:
        InvalidInput: it is no UUID, nor an address with one.
    """
    text = value.strip()
    if "/" in text and (inside := ids_of_credly(text)):
        # In the address of a page the organization comes first, and what belongs to it last.
        text = inside[0 if field == "organization_id" else -1]
    try:
        return str(UUID(text))
    except ValueError:
        raise no_credly_id(field, value) from None


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
) -> AsyncIterator["Organization"]:
    """Open the organization. Errors of Credly or of the token's block become messages for the operator.

    Raises:
        InvalidInput: token, organization or network does not work; nothing was changed.
    """
    # Here, because it loads the client, and most forms call nobody.
    from tasks.runtime.organization import TokenNotUsable, open_organization

    try:
        async with open_organization(run, target, token=token) as organization:
            yield organization
    except TokenNotUsable as unusable:
        raise InvalidInput(f"token_block: {unusable}") from None
    except CredlyError as error:
        raise InvalidInput(_message(error, target)) from None


def _message(error: CredlyError, target: DueOrganization) -> str:
    block, organization_id, base_url = code(target.token_block), code(target.organization_id), code(target.base_url)
    field = "environment" if target.base_url in BASE_URLS.values() else "base_url"
    match error:
        case NotConnected() | NotFound() | Unclear() if _is_of_another_server(error):
            answered = (
                f"{field}: what answered at {base_url} is not Credly's API ({_answer(error)}). Nothing was changed."
            )
            return f"{answered} {_address_advice(target.base_url)}"
        case NotConnected(status=401):
            return f"token_block: Credly refused the token in Secret block {block}. Put a valid one there."
        case NotConnected():
            return (
                f"token_block: the token in Secret block {block} may not do this for organization {organization_id}. "
                "Use a token of that organization, with write permission."
            )
        case NotFound():
            return (
                f"organization_id: Credly has no organization {organization_id} at {base_url}. Correct the id, or "
                f"{'choose the environment that it is in' if field == 'environment' else 'the address in base_url'}."
            )
        case NotSent():
            return f"{field}: {base_url} could not be reached. Check the address and the network."
        case Throttled():
            return "Credly asked for fewer calls. Nothing was changed; try again in a minute."
        case Unclear(status=None):
            answered = f"{field}: {base_url} gave no complete answer ({_answer(error)}). Nothing was changed."
            return f"{answered} Try again; if it stays, check the address and the network."
        case _:
            return f"Credly gave no usable answer ({_answer(error)}). Nothing was changed; try again."


def _is_of_another_server(error: CredlyError) -> bool:
    """Whether a proxy, a web page or another service answered, so that neither token nor id is to blame."""
    if error.status is None or error.status >= 500:
        return False
    is_unreadable = error.status >= 300 or error.code in ("unparsable_reply", "incomplete_reply")
    return error.code == "redirected" or (is_unreadable and not error.in_credly_form)


def _address_advice(base_url: str) -> str:
    if base_url in BASE_URLS.values():
        return "Look for a proxy or firewall on the way."
    advice = "Enter the API's address with its version, such as https://api.credly.com/v1"
    return f"{advice}." if base_url.endswith("/v1") else f"{advice}; did you mean {code(f'{base_url}/v1')}?"


def _answer(error: CredlyError) -> str:
    status = [f"status {error.status}"] if error.status else []
    return ", ".join([*status, f"{error.code}", f"request {error.request_id}"])


async def started_by() -> str:
    """Return who started the run according to Prefect: a user, a deployment, a schedule, or an empty string."""
    async with get_client() as client:
        run = await client.read_flow_run(UUID(flow_run.id))
    creator = run.created_by
    return f"{creator.type}: {creator.display_value}"[:_LONGEST_CREATOR] if creator else ""
