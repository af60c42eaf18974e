"""Revoking the badges of withdrawn awards, for integrations with `revoke_when_withdrawn`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from prefect import get_run_logger

from credly.errors import CredlyError, NotConnected, NotFound, Refused
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.ledger.tables import AttemptOutcome
from models.operations import audit
from models.operations.audit import ToBeRevoked
from models.planning.withdrawn import Withdrawn, withdrawn_among
from rules.forms.inputs import InvalidInput
from rules.ledger.outcome import LIVE_STATES
from rules.ledger.withdrawal import HELD_ADVICE, HeldBack, Loss, Revocable, held_back
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted, nothing_to_do
from tasks.forms.run_form import known_portal, no_connection, open_for_form
from tasks.operations.alerts import emit_revoking_held
from tasks.operations.audit import state_of
from tasks.runtime.organization import Organization, current_organization
from tasks.runtime.recorded_client import CallLog, RecordedClient, attempts_of, correct_last
from tasks.runtime.run import Run, current_run, laurel_task, run_ids

# In a row: then the token has no permission to revoke, and further calls would not help.
_MAX_NOT_PERMITTED = 3
# Per run. The next run continues.
_MAX_BADGES = 200
HOLD_REVOKING_ABOVE = 20
_MAX_SHOWN = 50
_ELSEWHERE = "not revoked: issued by an organization that their portal is not connected to any more"
DEFAULT_REASON = "The achievement was withdrawn."


@dataclass(frozen=True, kw_only=True)
class _Selection:
    """The badges to revoke in an organization now, how many later, and those held for an operator.

    `elsewhere` are issuances of its portals whose badges another organization issued.
    """

    badges: list[ToBeRevoked]
    later: int
    held: list[HeldBack] = field(default_factory=list)
    lost: tuple[Loss, ...] = ()
    elsewhere: list[int] = field(default_factory=list)


async def revoke_all(run: Run, portal: str, *, hold_above: int) -> FormResult:
    """Revoke in each organization, except in portals with more than `hold_above` badges to revoke.

    Raises:
        InvalidInput: there is no such portal.
    """
    if portal:
        await known_portal(run, portal)
    organizations = await run.database.read(claiming.connected_organizations, portal_id=portal)
    if not organizations:
        return nothing_to_do(no_connection(portal))
    revoked = left = later = 0
    held: list[HeldBack] = []
    lost: list[Loss] = []
    faults: list[str] = []
    elsewhere: list[int] = []
    for due in organizations:
        chosen = await _select(run, due, hold_above=hold_above)
        held, lost, later = held + chosen.held, [*lost, *chosen.lost], later + chosen.later
        elsewhere += chosen.elsewhere
        _emit_held(chosen)
        if chosen.badges:
            left += len(chosen.badges)
            try:
                async with open_for_form(run, due):
                    done = await revoke_withdrawn(chosen.badges)
                revoked, left = revoked + done, left - done
            except InvalidInput as fault:
                faults.append(f"Organization {due.organization_id}: {fault}")
    if unconnected := [] if portal else await run.database.read(audit.unconnected_portals):
        among = audit.REVOKED_WHEN_WITHDRAWN
        elsewhere += (await withdrawn_among(run.database, among, portal_ids=unconnected, now=run.now())).ids
    sentence = f"{counted(revoked, 'badge')} revoked" + (f", {left} not: see the log" if left else "")
    sentence = sentence + (f", {later} more: run it again" if later else "") + _held_sentence(held, lost)
    sentence += f"; {len(elsewhere)} {_ELSEWHERE}" if elsewhere else ""
    sentence = " ".join([*faults, sentence])
    return FormResult(
        sentence=sentence,
        outcome=f"{revoked} revoked" + (" · held" if held or lost else ""),
        page=_page(sentence, held, lost, elsewhere),
        failed=bool(faults),
        needs_attention=bool(left or held or lost or elsewhere),
    )


async def _select(run: Run, due: DueOrganization, *, hold_above: int) -> _Selection:
    among, portal_ids = audit.REVOKED_WHEN_WITHDRAWN, due.portal_ids
    withdrawn = await withdrawn_among(run.database, among, portal_ids=portal_ids, now=run.now())
    elsewhere = await run.database.read(audit.issued_elsewhere, withdrawn.ids, organization=due.id)
    here = [each for each in withdrawn.rows if each[1].issuance_id not in elsewhere]
    withdrawn = replace(withdrawn, rows=here)
    held = held_back(revocable(withdrawn), above=hold_above)
    stopped = {each.portal_id for each in held}
    free = [row.issuance_id for _, row in withdrawn.rows if row.portal_id not in stopped]
    badges = await run.database.read(audit.to_be_revoked, free[:_MAX_BADGES])
    return _Selection(
        badges=badges, later=len(free) - len(badges), held=held, lost=withdrawn.lost, elsewhere=sorted(elsewhere)
    )


def revocable(withdrawn: Withdrawn) -> list[Revocable]:
    counts = Counter((row.portal_id, achievement_id) for (achievement_id, _), row in withdrawn.rows)
    return [
        Revocable(portal_id=portal_id, achievement_id=achievement_id, badges=badges)
        for (portal_id, achievement_id), badges in sorted(counts.items())
    ]


def _emit_held(chosen: _Selection) -> None:
    for each in chosen.held:
        emit_revoking_held(each.portal_id, each.sentence, advice=f"{HELD_ADVICE}.", badges=each.badges)
    for loss in chosen.lost:
        emit_revoking_held(loss.portal_id, loss.sentence, advice=loss.advice, badges=loss.missing)


def _held_sentence(held: Sequence[HeldBack], lost: Sequence[Loss]) -> str:
    none = "so none counts as withdrawn because its row is missing"
    losses = "".join(f"; {loss.sentence}, {none}" for loss in lost)
    return losses + (f"; HELD: {'; '.join(each.sentence for each in held)}. {HELD_ADVICE}" if held else "")


def _page(sentence: str, held: Sequence[HeldBack], lost: Sequence[Loss], elsewhere: Sequence[int]) -> str:
    rows = [
        (code(each.portal_id), code(each.achievement_id), str(each.badges))
        for portal in held
        for each in portal.achievements
    ]
    parts = ["# Revoking badges of withdrawn awards", plain(sentence, longest=2000)]
    parts += [f"**{code(loss.portal_id)}:** {plain(loss.advice, longest=1000)}" for loss in lost]
    if elsewhere:
        named = ", ".join(code(str(key)) for key in elsewhere[:_MAX_SHOWN])
        more = f" and {len(elsewhere) - _MAX_SHOWN} more" if len(elsewhere) > _MAX_SHOWN else ""
        advice = (
            "Connect that organization again; or revoke them on Credly's pages, and then enable the achievement "
            "without revoke_when_withdrawn, since they are not read any more."
        )
        parts += [f"**{_ELSEWHERE.capitalize()} (issuances):** {named}{more}. {advice}"]
    if rows:
        parts += ["## Held back", table(("portal", "achievement", "badges to revoke"), rows)]
    return "\n\n".join(parts)


@laurel_task(name="revoke withdrawn")
async def revoke_withdrawn(badges: list[ToBeRevoked]) -> int:
    """Revoke these badges, and return how many. Failures are left to the next run."""
    run, organization = current_run.get(), current_organization.get()
    revoked = not_permitted = 0
    for badge in badges:
        if organization.stopped is not None or not_permitted == _MAX_NOT_PERMITTED:
            break
        try:
            revoked += await _revoke(run, organization, badge)
            not_permitted = 0
        except CredlyError as error:
            # Where the badge may not even be read, that is about the badge.
            not_permitted += isinstance(error, NotConnected) and error.operation == "revoke_badge"
            get_run_logger().warning("Issuance %s could not be revoked: %s", badge.issuance_id, error)
    return revoked


async def _revoke(run: Run, current: Organization, badge: ToBeRevoked) -> bool:
    log, state = CallLog(), None
    try:
        state = await _revoked_at_credly(run, current, current.client.recording(log), badge)
    finally:
        # Also after an error: the ledger holds every call.
        calls = attempts_of(log, issuance_id=badge.issuance_id)
        await run.database.write(audit.keep_revoking, badge, state, calls, run_ids(), now=run.now())
    return state == "revoked"


async def _revoked_at_credly(run: Run, current: Organization, client: RecordedClient, badge: ToBeRevoked) -> str:
    """Revoke a badge, and return its state at Credly afterwards.

    Raises:
        CredlyError: the badge is still valid, or its state could not be read.
    """
    began = run.now()
    try:
        answered = await client.revoke_badge(
            badge.credly_badge_id, reason=badge.reason or DEFAULT_REASON, suppress_notification=badge.silent
        )
    except Refused:
        # As when the earner rejected the badge, or it was revoked on Credly's pages.
        return await state_of(client, badge.credly_badge_id)
    except (NotFound, NotConnected) as error:
        fault = await current.confirm(since=began, sending=True)
        if fault is not None or not error.in_credly_form:
            raise
        # Not to be revoked, but perhaps still readable.
        state = await state_of(client, badge.credly_badge_id)
        if isinstance(error, NotConnected) and state in LIVE_STATES:
            raise
        return state
    if answered.state in ("revoked", None):
        return "revoked"
    correct_last(client.log, AttemptOutcome.UNCLEAR, code="not_revoked")
    return await state_of(client, badge.credly_badge_id)
