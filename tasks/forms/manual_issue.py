"""Issuing one badge by hand: before the award, after a failure, or as a replacement."""

from dataclasses import dataclass

from credly.errors import NotFound
from credly.wire import BadgeRequest, badge_page
from models.ledger import manual
from models.ledger.manual import ManualIssue
from models.ledger.tables import BadgeIssuance
from models.operations.erasure import refuse_erased
from models.platform.names import exists, near_by_id_or_name
from models.platform.people import Person, persons
from models.platform.tables import Company, Project
from models.setup.lookups import AchievementSetup
from models.setup.tables import CredlyIntegration
from rules.badge.masking import mask_email, mask_user
from rules.badge.request import prepare_request
from rules.badge.text import tidy
from rules.forms.inputs import IfBadgeExists, InvalidInput
from rules.forms.links import form_link
from rules.forms.suggestions import unknown
from rules.ledger.adoption import has_another_address
from rules.ledger.manual import award_for, row_for
from rules.ledger.reasons import Reason
from rules.ledger.states import NO_MOMENT, IssuanceState
from rules.markdown import code, plain, table
from rules.wording import FormResult, moment
from tasks.forms.integrations import PUBLIC, sent_page
from tasks.forms.pausing import integration_of
from tasks.forms.run_form import (
    connection_of,
    known_achievement,
    known_user,
    open_for_form,
    organization_of,
    started_by,
)
from tasks.issuing.batch import run_issue_batch
from tasks.runtime.form_links import form_address
from tasks.runtime.run import Run

# A second time where an earlier call with another template turned out to have made no badge.
_TRIES = 2
NOT_ISSUED = (IssuanceState.FAILED, IssuanceState.BLOCKED)


@dataclass(frozen=True, kw_only=True)
class ManualIssueForm:
    user: str
    achievement: str
    project: str = ""
    company: str = ""
    reason: str = ""
    if_badge_exists: IfBadgeExists = IfBadgeExists.LEAVE
    date_now: bool = False


async def preview_manual_issue(run: Run, form: ManualIssueForm) -> FormResult:
    """Show the request that would be sent, and send nothing.

    Raises:
        InvalidInput: an id does not exist, or Credly is not set up for the achievement.
    """
    setup, request, notes = await _request(run, form, requested_by="")
    row = await run.database.read(manual.issuance_of, request)
    facts = await manual.facts_of_request(run.database, request, now=run.now())
    who = await _who(run, setup, form.user)
    title = f"# Preview\n\n{table(('what', 'value'), who)}"
    if row is not None and row.state is IssuanceState.ISSUED and not request.replace:
        sentence = f"Preview: nothing would be sent, {form.user} has the badge of {form.achievement} already"
        page = f"{title}\n\n{plain(sentence)}."
        result = FormResult(sentence=sentence, outcome="preview", page=page, link=_page_of(row))
        return result.with_notes(_ignored(form))
    prepared = prepare_request(facts, now=run.now())
    if isinstance(prepared, Reason):
        sentence = f"Preview: nothing can be sent to {form.user}: {prepared.sentence}"
        page = f"{title}\n\n{plain(sentence)}\n\n{prepared.advice}"
        return FormResult(sentence=sentence, outcome="preview", page=page, done=False)
    former = await _former_address(run, setup, row, prepared.request)
    note = f". It {_to_former_address('goes', former)}" if former else ""
    sentence = f"Preview: {form.achievement} would be issued to {form.user}; nothing was done{note}"
    page = (
        f"{title}\n\nNothing was done{plain(note)}. This would be sent:\n\n{sent_page(form.user, prepared)}\n\n{PUBLIC}"
    )
    return FormResult(sentence=sentence, outcome="preview", page=page).with_notes(notes)


async def _who(run: Run, setup: AchievementSetup, user_id: str) -> list[tuple[str, ...]]:
    """Return rows of a table: the user (masked), the achievement and the portal, each with its id."""
    user = (await run.platform.read(persons, [user_id])).get(user_id, Person())
    shown = {
        "user": (mask_user(user.first_name, user.last_name, user.email), user_id),
        "achievement": (setup.achievement_name, setup.achievement_id),
        "portal": (setup.portal_name, setup.portal_id),
    }
    return [(what, f"{plain(name)} ({code(key)})") for what, (name, key) in shown.items()]


async def _former_address(run: Run, setup: AchievementSetup, row: BadgeIssuance | None, request: BadgeRequest) -> str:
    # Credly sends a replacement to the address of the badge that it replaces (Credly API notes, section 4.9).
    if row is None or row.credly_badge_id is None:
        return ""
    async with open_for_form(run, organization_of(connection_of(setup))) as organization:
        try:
            replaced = await organization.client.badge(row.credly_badge_id)
        except NotFound:
            return ""
    return mask_email(replaced.recipient_email or "") if has_another_address(replaced, request) else ""


def _to_former_address(verb: str, address: str = "") -> str:
    shown = f" ({address})" if address else ""
    return f"{verb} to the address of the badge that it replaces{shown}, not to the user's present one"


async def issue_manually(run: Run, form: ManualIssueForm) -> FormResult:
    """Issue the badge at once, by the same task as a scheduled run.

    Raises:
        InvalidInput: an id does not exist, or Credly is not set up for the achievement.
    """
    setup, request, notes = await _request(run, form, requested_by=await started_by())
    async with open_for_form(run, organization_of(connection_of(setup))):
        entered = await _enter(run, request)
        issued_before = entered.state is IssuanceState.ISSUED
        for _ in range(_TRIES):
            if entered.state is not IssuanceState.PENDING or entered.id is None:
                break
            await run_issue_batch(run, [entered.id], f"{form.achievement} · {entered.id} by hand", by_hand=True)
            settled = await run.database.read(manual.issuance_of, request)
            if settled is None or settled.unclear_at or settled.badge_template_id == request.badge_template_id:
                break
            entered = await _enter(run, request)
    # In a write transaction: it waits for a claim by another run, which is then shown instead of a pending row.
    row = await run.database.write(manual.issuance_of, request, lock=True)
    if row is None:
        raise AssertionError(f"the issuance of {request.achievement_id} to {request.user_id} is gone")
    notes = _ignored(form) if issued_before and not request.replace else notes
    again = await form_address(run, "issue-badge") if row.state in NOT_ISSUED else ""
    result = _result(row, await _who(run, setup, row.user_id), issued_before=issued_before, issue_form=again)
    return result.with_notes(notes)


async def _enter(run: Run, request: ManualIssue) -> BadgeIssuance:
    entered = await manual.enter(run.database, request, now=run.now())
    if entered is None:
        raise InvalidInput(
            f"user: {code(request.user_id)} has an award that was another user's, and what Credly made of that badge "
            "is not known yet. Run reconcile first: then the badge is this user's."
        )
    return entered


async def _request(
    run: Run, form: ManualIssueForm, *, requested_by: str
) -> tuple[AchievementSetup, ManualIssue, list[str]]:
    """Return the achievement with its settings, the request, and a sentence for each field that has no effect."""
    await run.database.read(refuse_erased, form.user)
    setup = await known_achievement(run, form.achievement)
    integration = _active_integration(setup)
    connection_of(setup)
    await known_user(run, form.user)
    for field, model, key in (("project", Project, form.project), ("company", Company, form.company)):
        if key and not await run.platform.read(exists, model, key):
            near = await run.platform.read(near_by_id_or_name, model, key)
            raise unknown(field, key, near, advice=" Or leave it empty.")
    request = ManualIssue(
        achievement_id=form.achievement,
        user_id=form.user,
        portal_id=setup.portal_id,
        badge_template_id=integration.badge_template_id,
        project_id=form.project or None,
        company_id=form.company or None,
        requested_by=requested_by,
        reason=tidy(form.reason),
        replace=form.if_badge_exists is IfBadgeExists.REPLACE,
        date_now=form.date_now,
    )
    if not form.date_now:
        await _refuse_unusable_date(run, request)
    return setup, request, await _without_effect(run, form, request, integration)


async def _refuse_unusable_date(run: Run, request: ManualIssue) -> None:
    pair = await manual.pair_of(run.database, request.key, now=run.now())
    row = row_for(pair)
    award = award_for(pair, row)
    issued = row is not None and row.state is IssuanceState.ISSUED and not request.replace
    if issued or award is None or award.awarded_at <= run.now():
        return
    if award.awarded_at == NO_MOMENT:
        wrong, wait = "has no usable date (awarded_at)", "Correct it on the platform"
    else:
        wrong, wait = f"is dated in the future ({moment(award.awarded_at)})", "Wait until then"
    raise InvalidInput(
        f"user: the award {code(award.award_id)} of {code(request.user_id)} {wrong}. {wait}, or switch on date_now in "
        "issue-badge: the badge then has the current date."
    )


async def _without_effect(
    run: Run, form: ManualIssueForm, request: ManualIssue, integration: CredlyIntegration
) -> list[str]:
    if not (form.project or form.company):
        return []
    facts = await manual.facts_of_request(run.database, request, now=run.now())
    notes = []
    for field, key, used in (("project", form.project, facts.project_id), ("company", form.company, facts.company_id)):
        if key and not getattr(integration, f"{field}_evidence"):
            notes.append(f"{field}: it has no effect, as {field} evidence is off for {form.achievement}")
        elif key and used != key:
            notes.append(f"{field}: it has no effect, as the award has its own {field}")
    return notes


def _ignored(form: ManualIssueForm) -> list[str]:
    """Return a sentence for each field that an existing badge does not take."""
    given = [field for field in ("project", "company") if getattr(form, field)]
    return [f"{field}: it has no effect on an existing badge, unless it is replaced" for field in given]


def _active_integration(setup: AchievementSetup) -> CredlyIntegration:
    integration = integration_of(setup)
    if integration.paused_at is not None:
        raise InvalidInput(f"achievement: {code(setup.achievement_id)} is paused. Run resume-credly first.")
    return integration


def _result(row: BadgeIssuance, who: list[tuple[str, ...]], *, issued_before: bool, issue_form: str) -> FormResult:
    facts: list[tuple[str, ...]] = [
        *who,
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
    sentence = _sentence(row, issued_before=issued_before)
    badge = _page_of(row) if issued else None
    again = form_link(issue_form, user=row.user_id, achievement=row.achievement_id)
    link = [f"[Open the badge]({badge})"] if badge else [f"[Issue it again]({again})"] if again else []
    title = "# Issued already" if issued and issued_before else "# Issued" if issued else "# Not issued"
    page = "\n\n".join([title, *link, plain(sentence, longest=500), table(("what", "value"), facts)])
    return FormResult(
        sentence=sentence,
        outcome="issued already" if issued and issued_before else row.state,
        page=page,
        done=issued,
        needs_attention=row.state in NOT_ISSUED,
        link=badge,
    )


def _page_of(row: BadgeIssuance) -> str | None:
    # Rows of earlier versions have the link that claims the badge.
    return badge_page(row.badge_url, row.credly_badge_id)


def _sentence(row: BadgeIssuance, *, issued_before: bool) -> str:
    who = f"{row.achievement_id} to {row.user_id}"
    if row.state is IssuanceState.ISSUED:
        badge = _page_of(row)
        at = f": {badge}" if badge else ""
        if issued_before:
            return f"Not issued again: {row.user_id} has the badge of {row.achievement_id} already{at}"
        former = f". It {_to_former_address('went')}" if row.former_address else ""
        return f"Issued {who}{', found at Credly' if row.adopted else ''}{at}{former}"
    if row.state is IssuanceState.ISSUING:
        return f"Another run is issuing {who} at this moment; look at that run"
    why = row.reason.sentence if row.reason else row.state.sentence
    later = " The next run of reconcile tries again." if row.state is IssuanceState.PENDING else ""
    return f"Not issued {who}: {why}{later}"
