"""Revoking badges whose awards were withdrawn, where the integration says so. Off unless a person switches it on."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from credly.errors import CredlyError, NotConnected, NotFound, Refused
from models import audit
from models.audit import ToBeRevoked
from models.recording import keep_calls
from rules.told import Told, counted
from tasks.people import asking, known_portal
from tasks.resources import database, now, run_ids
from tasks.runtime.organization import Organization, organization
from tasks.runtime.recorded_client import CallLog, RecordedClient, attempts_of

_NOT_PERMITTED_AT_MOST = 3  # calls in a row
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
            badges = await audit.to_be_revoked(connection, portal_ids=due.portal_ids, limit=_AT_MOST)
        if badges:
            async with asking(due):
                done = await revoke_withdrawn(badges)
            revoked, left = revoked + done, left + len(badges) - done
    sentence = f"{counted(revoked, 'badge')} revoked" + (f", {left} not: see the log" if left else "")
    return Told(sentence=sentence, needs_a_person=bool(left))


@task(name="revoke withdrawn", cache_policy=NO_CACHE, persist_result=False)
async def revoke_withdrawn(badges: list[ToBeRevoked]) -> int:
    """Revoke these badges and return how many; what could not be done stays for the next run."""
    revoked = not_permitted = 0
    for badge in badges:
        if organization().stopped is not None or not_permitted == _NOT_PERMITTED_AT_MOST:
            break
        try:
            revoked += await _revoke(organization(), badge)
            not_permitted = 0
        except CredlyError as error:
            not_permitted += isinstance(error, NotConnected)
            get_run_logger().warning("Issuance %s could not be revoked: %s", badge.issuance_id, error)
    return revoked


async def _revoke(current: Organization, badge: ToBeRevoked) -> bool:
    """Revoke one badge, and keep what has become of it at Credly with the calls that were made for it."""
    log, state = CallLog(), None
    try:
        state = await _revoked_at_credly(current, current.client.recording(log), badge)
    finally:
        async with database().writing() as connection:
            calls = attempts_of(log, issuance_id=badge.issuance_id)
            await connection.run_sync(keep_calls, calls, run_ids())
            if state == "revoked":
                await audit.put_revoked(connection, badge, now=now())
            elif state is not None:
                await audit.note_states(connection, {badge.credly_badge_id: state}, now=now())
    return state == "revoked"


async def _revoked_at_credly(current: Organization, client: RecordedClient, badge: ToBeRevoked) -> str:
    """Revoke a badge, and return its state at Credly; where Credly refuses, the state shows why.

    Raises:
        CredlyError: the badge stands, or its state was not learnt.
    """
    began = now()
    try:
        await client.revoke_badge(
            badge.credly_badge_id, reason=badge.reason or DEFAULT_REASON, suppress_notification=badge.silent
        )
    except Refused:
        return (await client.badge(badge.credly_badge_id)).state or "unknown"
    except (NotFound, NotConnected) as error:
        fault = await current.confirm(since=began, sending=True)
        if fault is not None or isinstance(error, NotConnected) or not error.in_credly_form:
            raise
        return "deleted"
    return "revoked"
