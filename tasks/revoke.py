"""Revoking badges whose awards were withdrawn, where the integration says so. Off unless a person switches it on."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from credly.errors import CredlyError, NotFound, Refused
from models import audit
from models.audit import ToBeRevoked
from models.withdrawal import withdrawals
from rules.told import Told, counted
from tasks.people import asking, known_portal
from tasks.resources import Organization, database, now, organization

_AT_MOST = 200  # in a run; the next one goes on
DEFAULT_REASON = "The achievement was withdrawn."


async def revoke_all(portal: str) -> Told:
    """Revoke what is to be revoked, in each organization, and tell how many.

    Raises:
        Mistake: there is no such portal, or an organization cannot be asked; those before it are done.
    """
    if portal:
        await known_portal(portal)
    async with database().reading() as connection:
        organizations = await audit.organizations(connection, portal_id=portal)
    revoked = left = 0
    for due in organizations:
        async with database().reading() as connection:
            counts = await withdrawals(connection, audit.may_be_revoked(due.portal_ids), now=now())
            badges = await audit.to_be_revoked(connection, counts, portal_ids=due.portal_ids, limit=_AT_MOST)
        if badges:
            async with asking(due):
                done = await revoke_withdrawn(badges)
            revoked, left = revoked + done, left + len(badges) - done
    sentence = f"{counted(revoked, 'badge')} revoked" + (f", {left} not: see the log" if left else "")
    return Told(sentence=sentence, needs_a_person=bool(left))


@task(name="revoke withdrawn", cache_policy=NO_CACHE, persist_result=False)
async def revoke_withdrawn(badges: list[ToBeRevoked]) -> int:
    """Revoke these badges and return how many; what could not be done stays for the next run."""
    revoked = 0
    for badge in badges:
        try:
            revoked += await _revoke(organization(), badge)
        except CredlyError as error:
            get_run_logger().warning("Issuance %s could not be revoked: %s", badge.issuance_id, error)
    return revoked


async def _revoke(current: Organization, badge: ToBeRevoked) -> bool:
    """Revoke one badge; where Credly refuses, keep what has become of it there instead."""
    await current.pace.turn()
    try:
        await current.client.revoke_badge(
            badge.credly_badge_id, reason=badge.reason or DEFAULT_REASON, suppress_notification=badge.silent
        )
    except Refused:
        await current.pace.turn()
        state = (await current.client.badge(badge.credly_badge_id)).state or "unknown"
    except NotFound:
        state = "deleted"
    else:
        state = "revoked"
    async with database().writing() as connection:
        if state == "revoked":
            await audit.put_revoked(connection, badge, now=now())
        else:
            await audit.note_states(connection, {badge.credly_badge_id: state}, now=now())
    return state == "revoked"
