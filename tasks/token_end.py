"""When tokens end: Credly's do after 180 days, without a word in advance, and then nothing is issued."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from models import setting_up
from rules.choices import Mistake
from rules.markup import code
from rules.told import counted
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

WARN_BEFORE = timedelta(days=14)


async def end_of_token(organization: Organization) -> datetime | None:
    """Return when the token ends, in UTC, or None where Credly does not say.

    Raises:
        Mistake: the token may not issue badges.
    """
    token = await organization.own_token()
    if token is None:
        return None
    if token.write_enabled is False:
        raise Mistake(
            f"token_block: the token in {code(organization.due.token_block)} may only read. Issuing badges needs a "
            "token with write permission."
        )
    return token.expires_at


async def learn_token_end(run: Run, organization: Organization) -> None:
    """Where the token is known to end soon, ask Credly again: it may have been replaced by another one."""
    portals = organization.due.portal_ids
    soon = await run.database.read(setting_up.tokens_ending, before=run.now() + WARN_BEFORE, portal_ids=portals)
    if not soon:
        return
    try:
        ends_at = await end_of_token(organization)
    except Mistake:
        return  # it may only read: the first badge will tell
    if ends_at is not None:
        await run.database.write(setting_up.put_token_end, portals, ends_at)


async def tokens_that_end_soon(run: Run, portals: Sequence[str] | None = None) -> str:
    """Return a sentence that names the portals whose tokens end within two weeks, or nothing."""
    moment = run.now()
    soon = await run.database.read(setting_up.tokens_ending, before=moment + WARN_BEFORE, portal_ids=portals)
    if not soon:
        return ""
    named = ", ".join(f"{portal} {_when(ends_at, moment=moment)}" for portal, ends_at in soon)
    return f"Replace the Credly token of {named}"


def _when(ends_at: datetime, *, moment: datetime) -> str:
    if ends_at <= moment:
        return f"(ended on {ends_at:%Y-%m-%d})"
    return f"(ends in {counted((ends_at - moment).days, 'day')})"


def token_ending(ends_at: datetime | None, *, moment: datetime) -> str:
    """Return in words when the token ends."""
    if ends_at is None:
        return "Credly does not say when it ends; its tokens end 180 days after they were made."
    days = (ends_at - moment).days
    urgent = "**Replace it now.** " if ends_at - moment < WARN_BEFORE else ""
    return f"{urgent}It ends on {ends_at:%Y-%m-%d}, in {max(days, 0)} days."
