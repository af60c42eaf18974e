"""Issuing one badge because a person asks for it: before the award, after a failure, or in place of an earlier one."""

from dataclasses import dataclass

from credly.errors import NotFound
from credly.wire import BadgeRequest
from models import by_hand
from models.by_hand import Request
from models.directory import Place
from models.integrations import CredlyIntegration
from models.ledger.erasure import refuse_erased
from models.ledger.tables import BadgeIssuance
from models.platform.names import exists
from models.platform.people import user_exists
from models.platform.tables import Company, Project
from rules.adoption import has_another_address
from rules.badge_request import prepare_request
from rules.choices import IfBadgeExists, Mistake
from rules.markup import code, plain, table
from rules.masking import mask_email
from rules.reasons import Reason
from rules.states import IssuanceState
from rules.text import tidy
from rules.told import Told
from tasks.enabling import PUBLIC, integration_of, sent_page
from tasks.issue import run_issue_batch
from tasks.people import asking, connection_of, known_place, reach_of, started_by
from tasks.runtime.run import Run

_TIMES = 2  # once more where an earlier call with another template has made no badge


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person typed into the form."""

    user: str
    achievement: str
    project: str = ""
    company: str = ""
    reason: str = ""
    if_badge_exists: IfBadgeExists = IfBadgeExists.LEAVE


async def preview_by_hand(run: Run, asked: Asked) -> Told:
    """Tell what issuing would send, and do nothing.

    Raises:
        Mistake: something that was typed does not exist, or is not set up.
    """
    request = await _request(run, asked, requested_by="")
    row = await run.database.read(by_hand.issuance_of, request)
    facts = await by_hand.facts_of_request(run.database, request, now=run.now())
    if row is not None and row.state is IssuanceState.ISSUED and not request.replace:
        sentence = f"Preview: nothing would be sent, {asked.user} has the badge of {asked.achievement} already"
        return Told(sentence=sentence, page=f"# Preview\n\n{plain(sentence)}.", badge_url=row.badge_url)
    prepared = prepare_request(facts, now=run.now())
    if isinstance(prepared, Reason):
        sentence = f"Preview: nothing can be sent to {asked.user}: {prepared.sentence}"
        return Told(sentence=sentence, page=f"# Preview\n\n{plain(sentence)}\n\n{prepared.advice}", done=False)
    former = await _former_address(run, asked, row, prepared.request)
    note = f". It {_to_former_address('goes', former)}" if former else ""
    sentence = f"Preview: {asked.achievement} would be issued to {asked.user}; nothing was done{note}"
    page = (
        f"# Preview\n\nNothing was done{plain(note)}. This would be sent:\n\n{sent_page(asked.user, prepared)}"
        f"\n\n{PUBLIC}"
    )
    return Told(sentence=sentence, page=page)


async def _former_address(run: Run, asked: Asked, row: BadgeIssuance | None, request: BadgeRequest) -> str:
    """Return the masked address that a replacement goes to, where that is not the user's present one; else nothing.

    Credly sends a replacement to the earner of the badge that it replaces (Credly API notes, section 4.9).
    """
    if row is None or row.credly_badge_id is None:
        return ""
    async with asking(run, reach_of(connection_of(await known_place(run, asked.achievement)))) as organization:
        try:
            replaced = await organization.client.badge(row.credly_badge_id)
        except NotFound:
            return ""
    return mask_email(replaced.recipient_email or "") if has_another_address(replaced, request) else ""


def _to_former_address(verb: str, address: str = "") -> str:
    shown = f" ({address})" if address else ""
    return f"{verb} to the address of the badge that it replaces{shown}, not to the user's present one"


async def issue_by_hand(run: Run, asked: Asked) -> Told:
    """Issue the badge the same way as a scheduled run does, at once, and tell what came of it.

    Raises:
        Mistake: something that was typed does not exist, or is not set up.
    """
    request = await _request(run, asked, requested_by=await started_by())
    place = await known_place(run, asked.achievement)
    async with asking(run, reach_of(connection_of(place))):
        entered = await _enter(run, request)
        stood_before = entered.state is IssuanceState.ISSUED
        for _ in range(_TIMES):
            if entered.state is not IssuanceState.PENDING or entered.id is None:
                break
            await run_issue_batch(run, [entered.id], f"{asked.achievement} · {entered.id} by hand", by_hand=True)
            settled = await run.database.read(by_hand.issuance_of, request)
            if settled is None or settled.unclear_at or settled.badge_template_id == request.badge_template_id:
                break
            entered = await _enter(run, request)
    # Held: what another run is claiming at this moment is shown as claimed, and not as pending.
    row = await run.database.write(by_hand.issuance_of, request, held=True)
    if row is None:
        raise AssertionError
    return _told(row, stood_before=stood_before)


async def _enter(run: Run, request: Request) -> BadgeIssuance:
    entered = await by_hand.enter(run.database, request, now=run.now())
    if entered is None:
        raise Mistake(
            f"user: {code(request.user_id)} has an award that was another user's, and what Credly made of that badge "
            "is not known yet. Run reconcile first: then the badge is this user's."
        )
    return entered


async def _request(run: Run, asked: Asked, *, requested_by: str) -> Request:
    await run.database.read(refuse_erased, asked.user)
    place = await known_place(run, asked.achievement)
    integration = _running(place)
    connection_of(place)
    if not await run.platform.read(user_exists, asked.user):
        raise Mistake(
            f"user: there is no user {code(asked.user)}. Give the user's id on the platform; "
            "`python -m models.find_user` finds it by the primary e-mail address."
        )
    for field, model, key in (("project", Project, asked.project), ("company", Company, asked.company)):
        if key and not await run.platform.read(exists, model, key):
            raise Mistake(f"{field}: there is no {field} {code(key)}. Leave it empty, or give its id.")
    return Request(
        achievement_id=asked.achievement,
        user_id=asked.user,
        portal_id=place.portal_id,
        badge_template_id=integration.badge_template_id,
        project_id=asked.project or None,
        company_id=asked.company or None,
        requested_by=requested_by,
        reason=tidy(asked.reason),
        replace=asked.if_badge_exists is IfBadgeExists.REPLACE,
    )


def _running(place: Place) -> CredlyIntegration:
    integration = integration_of(place)
    if integration.paused_at is not None:
        raise Mistake(f"achievement: {code(place.achievement_id)} is paused. Run resume-credly first.")
    return integration


def _told(row: BadgeIssuance, *, stood_before: bool) -> Told:
    facts: list[tuple[str, ...]] = [
        ("user", code(row.user_id)),
        ("achievement", code(row.achievement_id)),
        ("issuance", str(row.id)),
        ("state", f"{row.state}: {row.state.sentence}"),
    ]
    if row.reason is not None:
        facts.append(("why", f"{row.reason.sentence} {row.reason.advice}"))
    if row.credly_message:
        facts.append(("Credly's message", plain(row.credly_message, longest=500)))
    if row.evidence_left_out:
        facts.append(("evidence left out", code(row.evidence_left_out)))
    issued = row.state is IssuanceState.ISSUED
    sentence = _sentence(row, stood_before=stood_before)
    link = [f"[Open the badge]({row.badge_url})"] if issued and row.badge_url else []
    title = "# Issued already" if issued and stood_before else "# Issued" if issued else "# Not issued"
    page = "\n\n".join([title, *link, plain(sentence, longest=500), table(("what", "value"), facts)])
    return Told(
        sentence=sentence,
        page=page,
        done=issued,
        needs_a_person=row.state in (IssuanceState.FAILED, IssuanceState.BLOCKED),
        badge_url=row.badge_url if issued else None,
    )


def _sentence(row: BadgeIssuance, *, stood_before: bool) -> str:
    who = f"{row.achievement_id} to {row.user_id}"
    if row.state is IssuanceState.ISSUED:
        at = f": {row.badge_url}" if row.badge_url else ""
        if stood_before:
            return f"Not issued again: {row.user_id} has the badge of {row.achievement_id} already{at}"
        former = f". It {_to_former_address('went')}" if row.former_address else ""
        return f"Issued {who}{', found at Credly' if row.adopted else ''}{at}{former}"
    if row.state is IssuanceState.ISSUING:
        return f"Another run is issuing {who} at this moment; look at that run"
    why = row.reason.sentence if row.reason else row.state.sentence
    later = " The next run of reconcile tries again." if row.state is IssuanceState.PENDING else ""
    return f"Not issued {who}: {why}{later}"
