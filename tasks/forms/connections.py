"""Connecting a portal to its Credly organization, and disconnecting it."""

from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from prefect.blocks.system import Secret

from models.ledger import outstanding
from models.ledger.claiming import DueOrganization
from models.setup import admin as setting_up
from models.setup.lookups import connection_of
from rules.forms.inputs import BASE_URLS, Environment, InvalidInput, static_text
from rules.forms.token_format import fault_of_token
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted
from tasks.forms.run_form import credly_id, known_portal, open_for_form
from tasks.operations.token_expiry import WARN_BEFORE, expiry_sentence, read_token_expiry
from tasks.runtime.run import Run


async def connect(
    run: Run,
    portal: str,
    *,
    organization_id: str,
    token_block: str,
    environment: Environment,
    base_url: str,
    calls_per_second: float,
    missing_name: str,
    deletion_withdraws: bool,
) -> FormResult:
    """Check token and organization with Credly, and store the connection if both are accepted.

    Raises:
        InvalidInput: nothing was stored; the message names the field and the fault.
    """
    mapping = run.platform.mapping
    if deletion_withdraws and not mapping.deletion_withdraws:
        raise InvalidInput(
            f"deletion_withdraws: switch it off, because a row that is deleted is no withdrawal in the mapping "
            f"{mapping.name} (deletion_withdraws in its mapping.toml)."
        )
    name = await known_portal(run, portal)
    target = DueOrganization(
        organization_id=credly_id(organization_id, field="organization_id"),
        base_url=address_of(environment, base_url),
        token_block=await usable_block(token_block),
        calls_per_second=calls_per_second,
        portal_ids=(portal,),
        due=0,
    )
    await _refuse_block_in_use(run, portal, target)
    async with open_for_form(run, target) as organization:
        at_credly = await organization.client.organization()
        ends_at = await read_token_expiry(organization)
    moment = run.now()
    values = {
        "organization_id": target.organization_id,
        "base_url": target.base_url,
        "token_block": target.token_block,
        "calls_per_second": calls_per_second,
        "missing_name": static_text(missing_name, field="missing_name"),
        "deletion_withdraws": deletion_withdraws,
        "token_ends_at": ends_at,
        "connected_at": moment,
    }
    changed = await run.database.write(setting_up.put_connection, portal, values, now=moment)
    facts = _facts(portal, name, at_credly.name or "", target, deletion_withdraws=deletion_withdraws)
    return _connected(portal, at_credly.name or target.organization_id, facts, ends_at, moment, changed=changed)


async def _refuse_block_in_use(run: Run, portal: str, target: DueOrganization) -> None:
    """Keep the token of an organization that the portal leaves, while calls to it are outstanding."""
    before = await run.database.read(connection_of, portal)
    if before is None or before.token_block != target.token_block or before.organization_id == target.organization_id:
        return
    count = await run.database.read(outstanding.count_at, portal, before.organization_id)
    if count:
        raise InvalidInput(
            f"token_block: {counted(count, 'badge')} of this portal may have been made in organization "
            f"{code(before.organization_id)}, which is asked with the token in {code(target.token_block)}. Put that "
            "token back, and the new organization's token into another Secret block."
        )


def _facts(
    portal: str, name: str, organization_name: str, target: DueOrganization, *, deletion_withdraws: bool
) -> list[tuple[str, ...]]:
    return [
        ("Portal", f"{plain(name)} ({code(portal)})"),
        ("Credly organization", f"{plain(organization_name)} ({code(target.organization_id)})"),
        ("Address", code(target.base_url)),
        ("Token", f"accepted; read from Secret block {code(target.token_block)}"),
        ("Pace", f"{target.calls_per_second:g} calls a second"),
        ("Deleted awards count as withdrawn", "yes" if deletion_withdraws else "no"),
    ]


def _connected(
    portal: str,
    organization: str,
    facts: list[tuple[str, ...]],
    ends_at: datetime | None,
    moment: datetime,
    *,
    changed: bool,
) -> FormResult:
    expiry = expiry_sentence(ends_at, moment=moment)
    verb = "connection changed" if changed else "connected"
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
        InvalidInput: there is no such portal, or it is not connected.
    """
    await known_portal(run, portal)
    waiting = await run.database.write(setting_up.remove_connection, portal, now=run.now())
    if waiting is None:
        raise InvalidInput(f"portal: {code(portal)} is not connected to Credly, so there is nothing to disconnect.")
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
    base_url = base_url.strip().rstrip("/")
    if environment is not Environment.OTHER:
        if base_url:
            raise InvalidInput(f"base_url: leave it empty for {environment}, or choose the environment 'other'.")
        return BASE_URLS[environment]
    if not base_url:
        raise InvalidInput("base_url: the environment 'other' needs an address, such as http://127.0.0.1:8090/v1.")
    scheme, host = _parts(base_url)
    if scheme not in ("http", "https") or not host or any(mark in base_url for mark in "@?# "):
        raise InvalidInput(
            f"base_url: {code(base_url, longest=80)} is no address of an API. Those look like "
            "https://api.credly.com/v1, without user, query or fragment."
        )
    # Over plain HTTP the token would be readable on the network.
    if scheme == "http" and not _is_this_machine(host):
        raise InvalidInput(
            f"base_url: {code(base_url, longest=80)} must begin with https://; http:// is for a stand-in on this "
            "machine only."
        )
    return base_url


def _parts(base_url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(base_url)
        # Raises for a port that is not a number.
        _ = parts.port
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def usable_block(name: str) -> str:
    """Return the name of an existing Secret block whose content can be a token.

    Raises:
        InvalidInput: there is no such block, or its content was not pasted correctly.
    """
    name = name.strip()
    try:
        block: Secret[str] = await Secret.aload(name)
    except ValueError:
        raise InvalidInput(
            f"token_block: there is no Secret block named {code(name, longest=80)}. Create it in Prefect under Blocks "
            "(type Secret), with Credly's authorization token as its value."
        ) from None
    fault = fault_of_token(str(block.get()))
    if fault is not None:
        raise InvalidInput(f"token_block: the token in {code(name)} cannot be used: {fault}. Enter it again.")
    return name
