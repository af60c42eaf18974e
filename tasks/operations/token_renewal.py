"""Renewal of tokens: a new one is made beside the old one, tried, and stored. The old one ends by itself.

At each step the block has a token that works: the old one until the new one was accepted and the old one was copied.
"""

from datetime import timedelta

from prefect import get_run_logger
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from credly.errors import CredlyError
from models.setup import admin as setting_up
from models.setup.admin import TOKEN_LIFE
from rules.forms.inputs import InvalidInput
from tasks.operations.token_expiry import WARN_BEFORE, read_token_expiry, refresh_token_expiry
from tasks.runtime.organization import Organization, TokenNotUsable, open_organization, stored_token
from tasks.runtime.run import Run

# A day before the first warning, so that there is none where renewal works.
_RENEW_BEFORE = WARN_BEFORE + timedelta(days=1)
# Each try may leave a token at Credly that nobody uses.
_TRY_EVERY = timedelta(days=1)
_KEPT_FOR = timedelta(days=1)


def previous_block(name: str) -> str:
    """Return the name of the block that has the token from before the last renewal."""
    return f"{name}-previous"


async def renew_token(run: Run, organization: Organization) -> str:
    """Renew the organization's token if it ends soon and a connection is set so. Return what was done, or nothing."""
    due, moment = organization.due, run.now()
    await refresh_token_expiry(run, organization, within=_RENEW_BEFORE)
    portals = due.portal_ids
    soon = await run.database.read(setting_up.tokens_ending, before=moment + _RENEW_BEFORE, portal_ids=portals)
    if not soon:
        await _forget_previous(run, organization)
        return ""
    begun = await run.database.write(setting_up.begin_renewal, portals, tried_before=moment - _TRY_EVERY, now=moment)
    if not begun:
        return ""
    try:
        return await _renew(run, organization)
    except (CredlyError, InvalidInput, TokenNotUsable) as error:
        get_run_logger().warning("The token of organization %s was not renewed: %s", due.organization_id, error)
        return (
            f"The token in {due.token_block} could not be renewed and is as it was; the next try is in a day: {error}"
        )


async def _renew(run: Run, organization: Organization) -> str:
    due, old = organization.due, organization.client.token
    own = await organization.own_token()
    made = await organization.client.create_token(
        description=f"Laurel, {run.now():%Y-%m-%d}", delete_enabled=bool(own and own.delete_enabled)
    )
    new = made.token or SecretStr("")
    async with open_organization(run, due, token=new) as trial:
        await trial.client.organization()
        ends_at = await read_token_expiry(trial) or made.expires_at or run.now() + TOKEN_LIFE
    if await stored_token(due.token_block) != old:
        return f"The token in {due.token_block} was replaced meanwhile; it is not changed."
    await Secret(value=old.get_secret_value()).asave(previous_block(due.token_block), overwrite=True)
    await Secret(value=new.get_secret_value()).asave(due.token_block, overwrite=True)
    await run.database.write(setting_up.put_token_end, due.portal_ids, ends_at)
    return f"The token in {due.token_block} was renewed; the new one ends on {ends_at:%Y-%m-%d}."


async def _forget_previous(run: Run, organization: Organization) -> None:
    """Delete the copy of the old token once a badge was issued with the new one."""
    due, moment = organization.due, run.now()
    # A run that began before the renewal may still issue with the old token.
    used = await run.database.read(
        setting_up.renewed_and_used,
        due.portal_ids,
        tried_before=moment - _KEPT_FOR,
        ends_after=moment + _RENEW_BEFORE,
    )
    if not used:
        return
    async with get_client() as client:
        try:
            block = await client.read_block_document_by_name(previous_block(due.token_block), "secret")
            await client.delete_block_document(block.id)
        except ObjectNotFound:
            pass
    await run.database.write(setting_up.end_renewal, due.portal_ids)
