"""Connecting a portal to its Credly organization, and disconnecting it."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client

from credly.arguments import checked_base_url
from credly.errors import CredlyError
from models.ledger import outstanding
from models.ledger.claiming import DueOrganization
from models.platform.mapping import Mapping as PlatformMapping
from models.setup import admin as setting_up
from models.setup import organizations
from models.setup.lookups import connection_of
from models.setup.tables import CredlyConnection
from rules.badge.text import tidy
from rules.forms.inputs import BASE_URLS, Environment, InvalidInput, static_text
from rules.forms.settings import ConnectionForm
from rules.forms.suggestions import near_matches
from rules.forms.token_format import fault_of_token
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted, nothing_to_do
from tasks.forms.run_form import credly_id, known_portal, no_connection, open_for_form
from tasks.menus.refresh import store_templates
from tasks.operations.token_expiry import WARN_BEFORE, expiry_sentence, read_token_expiry
from tasks.operations.token_renewal import previous_block
from tasks.runtime.organization import NO_TEXT, Organization, token_text
from tasks.runtime.run import Run

_BLOCK_NAME = re.compile("[a-z0-9-]+")  # what Prefect accepts
_LONGEST_NAME = 100


async def connect(run: Run, portal: str, form: ConnectionForm) -> FormResult:
    """Check token and organization with Credly, and store the connection if both are accepted.

    Raises:
        InvalidInput: nothing was stored; the message names the field and the fault.
    """
    name = await known_portal(run, portal)
    columns = connection_columns(form, run.platform.mapping)
    target = target_of(columns, portal)
    await usable_block(target.token_block)
    before = await run.database.read(connection_of, portal)
    await refuse_block_in_use(run, before, target)
    async with open_for_form(run, target) as organization:
        organization_name, ends_at = await accepted(organization)
        with suppress(CredlyError):  # they are for menus only, and refresh-menus reads them again
            await store_templates(run, organization)
    moment = run.now()
    values = columns | {"token_ends_at": ends_at, "connected_at": moment, "renewal_tried_at": None}
    await run.database.write(setting_up.put_connection, portal, values, now=moment)
    facts = _facts(portal, name, organization_name, target, form)
    changed = before is not None and any(getattr(before, name) != value for name, value in columns.items())
    verb = "connected" if before is None else "connection changed" if changed else "connected already, no change"
    return _connected(portal, organization_name or target.organization_id, facts, ends_at, moment, verb=verb)


def connection_columns(form: ConnectionForm, mapping: PlatformMapping) -> dict[str, Any]:
    """Return the columns of a connection, by name.

    Raises:
        InvalidInput: a field cannot be used.
    """
    if form.deletion_withdraws and not mapping.deletion_withdraws:
        raise InvalidInput(
            f"deletion_withdraws: switch it off, because a row that is deleted is no withdrawal in the mapping "
            f"{mapping.name} (deletion_withdraws in its mapping.toml)."
        )
    return form.model_dump(exclude={"environment"}) | {
        "organization_id": credly_id(form.organization_id, field="organization_id"),
        "base_url": address_of(form.environment, form.base_url),
        "token_block": form.token_block.strip(),
        "missing_name": static_text(form.missing_name, field="missing_name"),
    }


def target_of(columns: Mapping[str, Any], *portals: str) -> DueOrganization:
    access = {name: columns[name] for name in ("organization_id", "base_url", "token_block", "calls_per_second")}
    return DueOrganization(**access, portal_ids=portals, due=0)


async def accepted(organization: Organization) -> tuple[str, datetime | None]:
    """Return the organization's name at Credly, and when the token ends (UTC), if Credly shows that.

    Raises:
        InvalidInput: the token may only read.
        CredlyError: token or organization was refused, or Credly did not answer.
    """
    access = {name: getattr(organization.due, name) for name in ("base_url", "organization_id", "calls_per_second")}
    await organization.run.database.write(organizations.forget_other_pace, **access)
    name = tidy((await organization.client.organization()).name)[:_LONGEST_NAME]
    return name, await read_token_expiry(organization)


async def refuse_block_in_use(run: Run, before: CredlyConnection | None, target: DueOrganization) -> None:
    """Keep the token of an organization that the portal leaves, while calls to it are outstanding."""
    if before is None or before.token_block != target.token_block or before.organization_id == target.organization_id:
        return
    count = await run.database.read(outstanding.count_at, before.portal_id, before.organization_id)
    if count:
        raise InvalidInput(
            f"token_block: {counted(count, 'badge')} of this portal may have been made in organization "
            f"{code(before.organization_id)}, which is asked with the token in {code(target.token_block)}. Put that "
            "token back, and the new organization's token into another Secret block."
        )


def _facts(
    portal: str, name: str, organization_name: str, target: DueOrganization, form: ConnectionForm
) -> list[tuple[str, ...]]:
    return [
        ("Portal", f"{plain(name)} ({code(portal)})"),
        ("Credly organization", f"{plain(organization_name)} ({code(target.organization_id)})"),
        ("Address", code(target.base_url)),
        ("Token", f"accepted; read from Secret block {code(target.token_block)}"),
        ("Pace", f"{target.calls_per_second:g} calls a second"),
        ("Deleted awards count as withdrawn", "yes" if form.deletion_withdraws else "no"),
        ("The token is renewed", "two weeks before its end" if form.renew_token else "no"),
    ]


def _connected(
    portal: str,
    organization: str,
    facts: list[tuple[str, ...]],
    ends_at: datetime | None,
    moment: datetime,
    *,
    verb: str,
) -> FormResult:
    expiry = expiry_sentence(ends_at, moment=moment)
    sentence = f"Portal {portal} {verb}: Credly organization {organization}"
    page = "\n\n".join(
        [
            f"# Portal {verb}",
            table(("what", "value"), facts),
            f"**Token:** {expiry}",
            "**Next:** enable Credly on an achievement with *enable-credly*. Awards that were waiting for this "
            "connection go out with the next run of *reconcile*.",
        ]
    )
    soon = ends_at is not None and ends_at - moment < WARN_BEFORE
    return FormResult(sentence=f"{sentence}. {expiry}" if soon else sentence, page=page, needs_attention=soon)


async def disconnect(run: Run, portal: str) -> FormResult:
    """Delete the connection of a portal. Its waiting issuances are blocked; issued badges stay.

    Raises:
        InvalidInput: there is no such portal.
    """
    await known_portal(run, portal)
    waiting = await run.database.write(setting_up.remove_connection, portal, now=run.now())
    if waiting is None:
        return nothing_to_do(no_connection(portal))
    sentence = (
        f"Portal {portal} disconnected; {counted(waiting, 'waiting badge')} blocked until the portal is connected again"
    )
    page = (
        f"# Portal disconnected\n\n{plain(sentence)}.\n\nIntegrations, the ledger and the badges at Credly are as they "
        "were. The token is still in its Secret block: delete the block in Prefect if it is not needed any more."
    )
    return FormResult(sentence=sentence, page=page)


def address_of(environment: Environment, base_url: str) -> str:
    """Return the base URL of the environment, or the one that was given.

    Raises:
        InvalidInput: the address is missing, malformed, or given where the environment has its own.
    """
    base_url = base_url.strip()
    if environment is not Environment.OTHER:
        if base_url:
            raise InvalidInput(f"base_url: leave it empty for {environment}, or choose the environment 'other'.")
        return BASE_URLS[environment]
    if not base_url:
        raise InvalidInput("base_url: the environment 'other' needs an address, such as http://127.0.0.1:8090/v1.")
    try:
        return checked_base_url(base_url)
    except ValueError as unusable:
        # Without the address, which may hold a password.
        raise InvalidInput(f"{str(unusable).replace(' ', ': it ', 1)}.") from None


async def usable_block(name: str) -> str:
    """Return the name of an existing Secret block whose content can be a token.

    Raises:
        InvalidInput: there is no such block, or its content was not pasted correctly.
    """
    name = name.strip()
    try:
        block: Secret[str] = await Secret.aload(name)
    except ValueError:
        raise InvalidInput(await _no_block(name)) from None
    value = token_text(block)
    if value is None:
        raise InvalidInput(f"token_block: {code(name)} holds {NO_TEXT}.")
    fault = fault_of_token(value)
    if fault is not None:
        raise InvalidInput(f"token_block: the token in {code(name)} cannot be used: {fault}. Enter it again.")
    return name


async def _no_block(name: str) -> str:
    # The name is not repeated if no block can have it: it may be the token itself.
    if not _BLOCK_NAME.fullmatch(name):
        wrong = "it is no name of a Secret block" if name else "it is empty"
        return f"token_block: {wrong}. Enter the block's name, not the token.{await _near_blocks(name)}"
    return (
        f"token_block: there is no Secret block named {code(name)}.{await _near_blocks(name)} Create it in Prefect "
        "under Blocks (type Secret), with Credly's authorization token as its value."
    )


async def _near_blocks(name: str) -> str:
    async with get_client() as client:
        blocks = await client.read_block_documents_by_type("secret", include_secrets=False)
    names = {block.name: "" for block in blocks if block.name}
    for kept in [previous_block(name) for name in names]:
        names.pop(kept, None)  # the token of before a renewal
    near = near_matches(name.rpartition("/")[2], names)
    return f" Did you mean {', '.join(near)}?" if near else ""
