"""Erasing one user: in the ledger, in Prefect, and on request the badges at Credly.

The ledger comes last, because it leads to the badges and pages. An interrupted run is completed by running it again.
"""

from collections import defaultdict
from dataclasses import dataclass

from credly.errors import NotConnected, NotFound, Refused
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.ledger.recording import keep_calls
from models.operations import erasure
from models.operations.erasure import Erasable, UserRecords
from models.platform.people import user_exists
from rules.badge.request import can_be_looked_up
from rules.badge.text import tidy
from rules.forms.inputs import InvalidInput
from rules.ledger.erasure import BadgesAtCredly
from rules.ledger.outcome import ENDED_STATES
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted
from tasks.forms.run_form import open_for_form, started_by
from tasks.operations.runs_of_user import Traces, as_word, delete, forget_user_in_this_run, traces_of
from tasks.runtime.organization import Organization
from tasks.runtime.recorded_client import CallLog, RecordedClient, attempts_of
from tasks.runtime.run import Run, run_ids

_REASON_AT_CREDLY = "The badge was removed on request."
_DELETED, _REVOKED, _NOT_FOUND = "deleted", "revoked", "not found"
_ENDED_STATES = (_DELETED, *ENDED_STATES)
_LEFT = (
    "What this form does not reach: the platform's own data, files that were exported before, backups, Prefect's "
    "events (which Prefect removes itself), and badges that are left at Credly. SECURITY.md says more."
)


@dataclass(frozen=True, kw_only=True)
class EraseForm:
    user: str
    reason: str
    badges_at_credly: BadgesAtCredly


async def preview_erasure(run: Run, form: EraseForm) -> FormResult:
    """Count what would be erased, and change nothing.

    Raises:
        InvalidInput: there is no such user, a call for the user is outstanding, or the reason is missing.
    """
    found, traces = await _load(run, form)
    sentence = "Preview: nothing was done"
    return FormResult(sentence=sentence, page=_page("Preview", f"{sentence}. This would be erased:", found, traces, {}))


async def erase_user(run: Run, form: EraseForm) -> FormResult:
    """Erase the user.

    Raises:
        InvalidInput: as for the preview; or a badge could not be revoked or deleted, and nothing else was erased.
    """
    found, traces = await _load(run, form)
    at_credly: dict[str, str] = {}
    if form.badges_at_credly is not BadgesAtCredly.LEAVE:
        at_credly = await _end_badges(run, form, found)
    await delete(traces)
    await run.database.write(
        erasure.erase,
        form.user,
        found=found,
        at_credly={key: state for key, state in at_credly.items() if state != _NOT_FOUND},
        reason=tidy(form.reason),
        requested_by=await started_by(),
        now=run.now(),
    )
    await forget_user_in_this_run()
    missing = sum(state == _NOT_FOUND for state in at_credly.values())
    sentence = "; ".join(
        [
            f"Erased: {_counts(found)}; {counted(len(traces.runs), 'run')} and {counted(len(traces.pages), 'page')} "
            "of Prefect deleted",
            *([f"{counted(missing, 'badge')} not found at Credly: look there"] if missing else []),
            *(
                [f"{counted(traces.under_way, 'run')} with the user's id under way: run it again"]
                * bool(traces.under_way)
            ),
        ]
    )
    page = _page("Erased", sentence, found, traces, at_credly)
    return FormResult(sentence=sentence, page=page, needs_attention=bool(missing or traces.under_way))


async def _load(run: Run, form: EraseForm) -> tuple[UserRecords, Traces]:
    if not tidy(form.reason):
        raise InvalidInput("reason: say why the user is erased, without personal data; it is kept.")
    if as_word(form.user).search(tidy(form.reason)):
        raise InvalidInput("reason: it holds the user's id, and is kept. Leave the id out.")
    found = await run.database.read(erasure.of_user, form.user)
    if not found.issuances and found.erased_at is None and not await run.platform.read(user_exists, form.user):
        raise InvalidInput("user: neither the platform nor the ledger has a user with this id. Nothing was erased.")
    if found.outstanding:
        raise InvalidInput(
            "user: an answer of Credly is outstanding for a badge of this user. Wait for the next run of reconcile, "
            "which settles it (where the badge has failed, run retry-failed first). Nothing was erased."
        )
    return found, await traces_of(form.user, found.badge_ids)


async def _end_badges(run: Run, form: EraseForm, found: UserRecords) -> dict[str, str]:
    """Revoke or delete the badges of the user, and return the state of each."""
    by_organization: dict[str, list[Erasable]] = defaultdict(list)
    organizations = await run.database.read(claiming.connected_organizations)
    reached = {portal_id: due for due in organizations for portal_id in due.portal_ids}
    for each in found.issuances:
        if each.badge_ids:
            if each.portal_id not in reached:
                raise InvalidInput(
                    f"badges_at_credly: portal {code(each.portal_id)} is not connected to Credly, so its badges cannot "
                    "be reached. Connect it, or choose leave. Nothing was erased."
                )
            if each.issued_by not in (None, reached[each.portal_id].id):
                raise InvalidInput(
                    f"badges_at_credly: a badge of portal {code(each.portal_id)} was issued by an organization that "
                    "the portal is not connected to any more. Connect that one, or choose leave. Nothing was erased."
                )
            by_organization[each.portal_id].append(each)
    ended: dict[str, str] = {}
    for portal_id, rows in by_organization.items():
        issuance_ids = {badge_id: each.issuance_id for each in rows for badge_id in each.badge_ids}
        async with open_for_form(run, reached[portal_id]) as organization:
            for badge_id in await _badges_of(organization, form, rows):
                log = CallLog() if badge_id in issuance_ids else organization.client.log
                client = organization.client.recording(log)
                try:
                    ended[badge_id] = await _end(client, reached[portal_id], form.badges_at_credly, badge_id)
                finally:
                    if badge_id in issuance_ids:
                        calls = attempts_of(log, issuance_id=issuance_ids[badge_id])
                        await run.database.write(keep_calls, calls, run_ids())
    return ended


async def _badges_of(organization: Organization, form: EraseForm, rows: list[Erasable]) -> list[str]:
    # Revoking is for valid badges only; deleting also covers those that were revoked or replaced before.
    if form.badges_at_credly is BadgesAtCredly.REVOKE:
        return [each.standing for each in rows if each.standing is not None]
    known = {badge_id for each in rows for badge_id in each.badge_ids}
    # No badge is ever sent with an id that cannot be looked up.
    templates = {each.badge_template_id for each in rows} if can_be_looked_up(form.user) else ()
    for template in sorted(templates):
        own = await organization.client.find_badges(badge_template_id=template, issuer_earner_id=form.user)
        known |= {badge.id for badge in own}
    return sorted(known)


async def _end(client: RecordedClient, due: DueOrganization, how: BadgesAtCredly, badge_id: str) -> str:
    try:
        if how is BadgesAtCredly.DELETE:
            await client.delete_badge(badge_id)
        else:
            await client.revoke_badge(badge_id, reason=_REASON_AT_CREDLY, suppress_notification=True)
    except NotFound as error:
        if not error.in_credly_form:
            raise
        return _NOT_FOUND
    except NotConnected as error:
        if error.status != 403:
            raise
        raise InvalidInput(
            f"badges_at_credly: the token in Secret block {code(due.token_block)} may not {how} this user's badge. Use "
            "a token with that permission, or choose leave. In the ledger nothing was erased; running it again is safe."
        ) from None
    except Refused:
        # Credly refuses to end a badge that has ended already, as after an interrupted run.
        state = (await client.badge(badge_id)).state
        if state not in _ENDED_STATES:
            raise
        return str(state)
    return _DELETED if how is BadgesAtCredly.DELETE else _REVOKED


def _counts(found: UserRecords) -> str:
    return f"{counted(len(found.issuances), 'issuance')} with {counted(found.attempts, 'call')}"


def _page(title: str, sentence: str, found: UserRecords, traces: Traces, at_credly: dict[str, str]) -> str:
    states: dict[str, int] = defaultdict(int)
    for each in found.issuances:
        states[each.state] += 1
    became: dict[str, int] = defaultdict(int)
    for state in at_credly.values():
        became[state] += 1
    rows = [
        *((f"issuances, {state}", str(count)) for state, count in sorted(states.items())),
        ("calls kept for them", str(found.attempts)),
        ("badges at Credly, as far as the ledger has them", str(len(found.badge_ids))),
        *((f"… of these {plain(state)}", str(count)) for state, count in sorted(became.items())),
        ("runs of Prefect that were started with the id", str(len(traces.runs))),
        ("pages of Prefect that show the id or a badge", str(len(traces.pages))),
    ]
    again = [f"The user was erased on {found.erased_at:%Y-%m-%d} before."] if found.erased_at else []
    return "\n\n".join([f"# {title}", plain(sentence, longest=1000), *again, table(("what", "how many"), rows), _LEFT])
