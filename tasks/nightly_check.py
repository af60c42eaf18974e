"""Looking at everything that badges will need, before learners notice that something is missing."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from credly.errors import CredlyError, NotFound
from models import setting_up
from models.evidence_links import odd_links
from models.examine import Lack, lacks_of
from models.integrations import CredlyConnection
from models.overview import Configured, PortalOverview, overview
from models.planning.deletions import large_losses
from rules.choices import Mistake
from rules.evidence import EvidenceKind, fault_of_link
from rules.markup import code, plain, table
from rules.monitoring.schedule import MAIN, ScheduledDeployment
from rules.reasons import Reason
from rules.told import Told, counted
from tasks.operations.schedule import scheduled_deployments
from tasks.people import asking, known_portal, reach_of
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run
from tasks.token_end import WARN_BEFORE, end_of_token, token_ending

_LINKS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it should be. `advice` says what to do; `where` and `what` are Markdown."""

    where: str
    what: str
    advice: str
    needs_a_person: bool = True


async def check_everything(run: Run, portal: str) -> Told:
    """Look at the database, ask Credly about every connection and template, look at every evidence link, and tell.

    Changes nothing but the known end of a token.

    Raises:
        Mistake: there is no such portal.
    """
    lacks = await lacks_of(run.database)
    findings = [_of_database(lack) for lack in lacks]
    silent = await _silent_prefect()
    scheduled = [] if silent else await _scheduled()
    if not portal and not silent:
        findings += _of_schedule(run, scheduled)
    if any(lack.stops for lack in lacks):
        wrong = [finding for finding in findings if finding.needs_a_person]
        sentence = f"{counted(len(wrong), 'thing')} to mend; beyond the database and the schedule nothing was looked at"
        return Told(sentence=sentence, page=_page(run, sentence, findings, scheduled), needs_a_person=True)
    if portal:
        await known_portal(run, portal)
    portals = [each for each in await overview(run.database, portal_id=portal) if each.connection or each.configured]
    findings += await _of_missing_awards(run, [portal] if portal else None)
    if silent is not None:
        sentence = "Prefect's server does not answer; schedule, connections, templates and links were not looked at"
        return Told(sentence=sentence, page=_page(run, sentence, [*findings, silent], []), needs_a_person=True)
    findings += [finding for each in portals async for finding in _of_portal(run, each)]
    if not portal:
        findings += [finding async for finding in _of_links(run)]
    wrong = [finding for finding in findings if finding.needs_a_person]
    templates = sum(len(each.configured) for each in portals)
    looked_at = f"{counted(len(portals), 'portal')}, {counted(templates, 'template')}"
    sentence = f"{counted(len(wrong), 'thing')} to mend" if wrong else "All is as it should be"
    sentence = f"{sentence}; looked at {looked_at}"
    return Told(sentence=sentence, page=_page(run, sentence, findings, scheduled), needs_a_person=bool(wrong))


async def _scheduled() -> list[ScheduledDeployment]:
    async with get_client() as client:
        return await scheduled_deployments(client)


def _of_schedule(run: Run, scheduled: Sequence[ScheduledDeployment]) -> Iterator[Finding]:
    """Say what keeps scheduled runs from happening. Another one than `reconcile` may be switched off on purpose."""
    moment, silent_after = run.now(), run.settings.alert_no_run_for
    if MAIN not in {each.name for each in scheduled}:
        advice = plain("Run `python -m scripts.setup_deployment`; until then nothing is issued by schedule.")
        yield Finding(where=code(MAIN), what="There is no such deployment on Prefect's server.", advice=advice)
    for each in scheduled:
        for problem in each.problems(now=moment, silent_after=silent_after):
            yield Finding(
                where=code(each.name),
                what=plain(problem.what),
                advice=plain(problem.advice),
                needs_a_person=each.switched_on or each.name == MAIN,
            )


def _of_database(lack: Lack) -> Finding:
    return Finding(
        where=code(lack.where),
        what=plain(lack.what, longest=500),
        advice=plain(lack.advice, longest=500),
        needs_a_person=lack.needs_a_person,
    )


async def _of_missing_awards(run: Run, portal_ids: Sequence[str] | None) -> list[Finding]:
    lost = await large_losses(run.database, portal_ids=portal_ids, now=run.now())
    return [
        Finding(where=code(loss.portal_id), what=plain(f"{loss.sentence}."), advice=plain(loss.advice, longest=500))
        for loss in lost
    ]


def _page(run: Run, sentence: str, findings: list[Finding], scheduled: Sequence[ScheduledDeployment]) -> str:
    wrong = [(each.where, each.what, each.advice) for each in findings if each.needs_a_person]
    notes = [(each.where, each.what, each.advice) for each in findings if not each.needs_a_person]
    parts = [f"# {plain(sentence)}"]
    if wrong:
        parts += [table(("where", "what is wrong", "what to do"), wrong)]
    if notes:
        parts += ["## Good to know", table(("where", "what", "what it means"), notes)]
    if scheduled:
        planned = [(code(each.name), plain(each.next_run(now=run.now())), each.worker()) for each in scheduled]
        parts += ["## Schedule", table(("deployment", "next run", "would be started by"), planned)]
    return "\n\n".join(parts)


async def _silent_prefect() -> Finding | None:
    """Prefect's server has the tokens. A run has it at hand; `python -m flows.check` may not."""
    address = get_current_settings().api.url
    if not address:  # Prefect would start a server for the moment, which knows of nothing
        advice = plain("Set it to the address of Prefect's server, such as http://127.0.0.1:4200/api.")
        return Finding(where=code("PREFECT_API_URL"), what="It is not set.", advice=advice)
    where = code(address)
    async with get_client() as client:
        if await client.api_healthcheck() is None:
            return None
    advice = plain("Start it, or mend PREFECT_API_URL.")
    return Finding(where=where, what="Prefect's server does not answer.", advice=advice)


async def _of_portal(run: Run, portal: PortalOverview) -> AsyncIterator[Finding]:
    where = f"{plain(portal.portal_name)} ({code(portal.portal_id)})"
    if portal.connection is None:
        reason = Reason.PORTAL_NOT_CONNECTED
        yield Finding(where=where, what=plain(reason.sentence), advice=plain(reason.advice))
        return
    try:
        async with asking(run, reach_of(portal.connection)) as organization:
            await organization.client.organization()
            async for finding in _of_token(run, organization, portal.connection, where=where):
                yield finding
            for configured in portal.configured:
                async for finding in _of_template(organization, configured):
                    yield finding
    except Mistake as mistake:
        yield Finding(
            where=where, what=plain(str(mistake), longest=1000), advice="Mend it, or run *connect-portal* anew."
        )


async def _of_token(
    run: Run, organization: Organization, connection: CredlyConnection, *, where: str
) -> AsyncIterator[Finding]:
    moment = run.now()
    ends_at = await end_of_token(organization)
    if ends_at is None:
        return
    await run.database.write(setting_up.put_token_end, [connection.portal_id], ends_at)
    if ends_at - moment < WARN_BEFORE:
        yield Finding(
            where=where,
            what=f"The token in {code(connection.token_block)}: {token_ending(ends_at, moment=moment)}",
            advice="Make a new token at Credly and put it into that Secret block; nothing else is needed.",
        )


async def _of_template(organization: Organization, configured: Configured) -> AsyncIterator[Finding]:
    template_id = configured.integration.badge_template_id
    where = f"{plain(configured.achievement_name)} ({code(configured.achievement_id)}), template {code(template_id)}"
    try:
        template = await organization.client.template(template_id)
    except NotFound:
        yield _because(Reason.TEMPLATE_NOT_FOUND, where=where)
        return
    except CredlyError as error:
        yield Finding(where=where, what=plain(f"Credly did not answer ({error})."), advice="Wait for the next check.")
        return
    if template.state not in ("active", None):
        yield _because(Reason.TEMPLATE_NOT_ACTIVE, where=where)
    if template.allow_duplicate_badges:
        yield Finding(
            where=where,
            what="The template allows duplicates.",
            advice="Credly would let a person have this badge twice, so only Laurel's own look-ups prevent that. "
            "Switch it off at Credly unless you need it.",
            needs_a_person=False,
        )


def _because(reason: Reason, *, where: str) -> Finding:
    return Finding(where=where, what=plain(reason.sentence), advice=plain(reason.advice))


async def _of_links(run: Run) -> AsyncIterator[Finding]:
    for kind in EvidenceKind:
        odd = await odd_links(run.database, kind)
        faulty = [(key, fault) for key, link in odd if (fault := fault_of_link(link.strip())) is not None]
        for fault in sorted({fault for _key, fault in faulty}):
            ids = [key for key, its_fault in faulty if its_fault is fault]
            more = f" and {len(ids) - _LINKS_SHOWN} more" if len(ids) > _LINKS_SHOWN else ""
            yield Finding(
                where=f"Links of {counted(len(ids), kind.value)}",
                what=f"{plain(fault.sentence)} {', '.join(code(each) for each in ids[:_LINKS_SHOWN])}{more}",
                advice="Correct them on the platform; until then badges go out without this evidence.",
            )
