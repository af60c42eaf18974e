"""Expiry of tokens. Credly's expire after 180 days without notice, and then nothing can be issued."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from models.setup import admin as setting_up
from models.setup.admin import TokenEnd
from rules.forms.inputs import InvalidInput
from rules.markdown import code
from rules.wording import counted
from tasks.runtime.run import Run

if TYPE_CHECKING:
    from tasks.runtime.organization import Organization

WARN_BEFORE = timedelta(days=14)


async def read_token_expiry(organization: "Organization") -> datetime | None:
    """Return when the token expires, in UTC, or None if Credly does not show it.

    Raises:
        InvalidInput: the token may not issue badges.
    """
    token = await organization.own_token()
    if token is None:
        return None
    if token.write_enabled is False:
        raise InvalidInput(
            f"token_block: the token in {code(organization.due.token_block)} may only read. Issuing badges needs a "
            "token with write permission."
        )
    return token.expires_at


async def refresh_token_expiry(run: Run, organization: "Organization", *, within: timedelta = WARN_BEFORE) -> None:
    """Read the expiry again if it is near, because the token may have been replaced."""
    portals = organization.due.portal_ids
    soon = await run.database.read(setting_up.tokens_ending, before=run.now() + within, portal_ids=portals)
    if not soon:
        return
    try:
        ends_at = await read_token_expiry(organization)
    except InvalidInput:
        # A read-only token: the first badge fails with its own message.
        return
    if ends_at is not None:
        await run.database.write(setting_up.put_token_end, portals, ends_at)


async def expiry_warning(run: Run, portals: Sequence[str] | None = None) -> str:
    """Return a sentence about portals whose tokens expire within two weeks, or an empty string."""
    moment = run.now()
    soon = await run.database.read(setting_up.tokens_ending, before=moment + WARN_BEFORE, portal_ids=portals)
    if not soon:
        return ""
    named = ", ".join(f"{each.portal_id} {_when(each, moment=moment)}" for each in soon)
    return f"Replace the Credly token of {named}"


def _when(end: TokenEnd, *, moment: datetime) -> str:
    when = f"ended on {end.ends_at:%Y-%m-%d}" if end.ends_at <= moment else f"ends in {_days(end.ends_at - moment)}"
    assumed = ", assumed: 180 days after connecting. Then run connect-portal again" if end.assumed else ""
    return f"({when}{assumed})"


def _days(span: timedelta) -> str:
    return counted(span.days, "day")


def expiry_sentence(ends_at: datetime | None, *, moment: datetime) -> str:
    if ends_at is None:
        return "Credly does not show when it ends; 180 days after connecting are assumed."
    days = (ends_at - moment).days
    urgent = "**Replace it now.** " if ends_at - moment < WARN_BEFORE else ""
    return f"{urgent}It ends on {ends_at:%Y-%m-%d}, in {max(days, 0)} days."
