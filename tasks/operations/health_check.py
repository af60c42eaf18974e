"""The health check: database, schedule, connections, tokens, templates and evidence links."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from credly.errors import CredlyError, NotFound
from models.diagnostics.check import Problem, find_problems
from models.diagnostics.links import odd_links, odd_names
from models.errors import shown
from models.planning.deletions import large_losses
from models.setup import admin as setting_up
from models.setup.overview import Configured, PortalOverview, overview
from models.setup.tables import CredlyConnection
from rules.badge.evidence import EvidenceKind, fault_of_link
from rules.badge.text import Oddity, oddities
from rules.forms.inputs import InvalidInput
from rules.ledger.reasons import Reason
from rules.markdown import code, plain, table
from rules.monitoring.schedule import MAIN, ScheduledDeployment
from rules.wording import FormResult, counted
from tasks.forms.run_form import known_portal, open_for_form, organization_of
from tasks.operations.schedule import scheduled_deployments
from tasks.operations.token_expiry import WARN_BEFORE, expiry_sentence, read_token_expiry
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

_MAX_LINKS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem, or a note if it needs no attention. All texts are Markdown."""

    where: str
    what: str
    advice: str
    needs_attention: bool = True
    statement: str = ""


async def run_health_check(run: Run, portal: str) -> FormResult:
    """Check the database, the schedule, every connection and template at Credly, and every evidence link.

    Changes nothing except the stored expiry of a token.

    Raises:
        InvalidInput: there is no such portal.
    """
    problems = await find_problems(run.database)
    findings = [_database_finding(problem) for problem in problems]
    unreachable = await _prefect_unreachable()
    scheduled = [] if unreachable else await _scheduled()
    if not portal and not unreachable:
        findings += _schedule_findings(run, scheduled)
    if any(problem.stops for problem in problems):
        wrong = [finding for finding in findings if finding.needs_attention]
        sentence = f"{counted(len(wrong), 'problem')} found; only the database and the schedule were checked"
        return FormResult(sentence=sentence, page=_page(run, sentence, findings, scheduled), needs_attention=True)
    if portal:
        await known_portal(run, portal)
    portals = [each for each in await overview(run.database, portal_id=portal) if each.connection or each.configured]
    findings += await _missing_award_findings(run, [portal] if portal else None)
    if unreachable is not None:
        sentence = "Prefect's server does not answer; schedule, connections, templates and links were not checked"
        return FormResult(
            sentence=sentence, page=_page(run, sentence, [*findings, unreachable], []), needs_attention=True
        )
    findings += [finding for each in portals async for finding in _portal_findings(run, each)]
    if not portal:
        findings += [finding async for finding in _link_findings(run)]
        findings += [finding async for finding in _name_findings(run)]
    wrong = [finding for finding in findings if finding.needs_attention]
    templates = sum(len(each.configured) for each in portals)
    checked = f"{counted(len(portals), 'portal')}, {counted(templates, 'template')}"
    sentence = f"{counted(len(wrong), 'problem') if wrong else 'No problems'} found; checked {checked}"
    return FormResult(sentence=sentence, page=_page(run, sentence, findings, scheduled), needs_attention=bool(wrong))


async def _scheduled() -> list[ScheduledDeployment]:
    async with get_client() as client:
        return await scheduled_deployments(client)


def _schedule_findings(run: Run, scheduled: Sequence[ScheduledDeployment]) -> Iterator[Finding]:
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
                # Any other deployment may be switched off on purpose.
                needs_attention=each.switched_on or each.name == MAIN,
            )


def _database_finding(problem: Problem) -> Finding:
    return Finding(
        where=code(problem.where),
        what=plain(problem.what, longest=500),
        advice=plain(problem.advice, longest=500),
        needs_attention=problem.needs_attention,
        statement=problem.statement,
    )


async def _missing_award_findings(run: Run, portal_ids: Sequence[str] | None) -> list[Finding]:
    lost = await large_losses(run.database, portal_ids=portal_ids, now=run.now())
    return [
        Finding(where=code(loss.portal_id), what=plain(f"{loss.sentence}."), advice=plain(loss.advice, longest=500))
        for loss in lost
    ]


def _page(run: Run, sentence: str, findings: list[Finding], scheduled: Sequence[ScheduledDeployment]) -> str:
    wrong = [(each.where, each.what, each.advice) for each in findings if each.needs_attention]
    notes = [(each.where, each.what, each.advice) for each in findings if not each.needs_attention]
    own, platform = code(shown(run.database.engine.url)), code(run.platform.address)
    mapping = code(run.platform.mapping.name)
    parts = [f"# {plain(sentence)}", f"Laurel's own tables: {own}. The platform: {platform}, mapping {mapping}."]
    if wrong:
        parts += [table(("where", "what is wrong", "what to do"), wrong)]
    if notes:
        parts += ["## Good to know", table(("where", "what", "what it means"), notes)]
    if statements := dict.fromkeys(each.statement for each in findings if each.statement):
        parts += ["## For the database's administrator", f"```sql\n{chr(10).join(statements)}\n```"]
    if scheduled:
        planned = [(code(each.name), plain(each.next_run(now=run.now())), each.worker()) for each in scheduled]
        parts += ["## Schedule", table(("deployment", "next run", "would be started by"), planned)]
    return "\n\n".join(parts)


async def _prefect_unreachable() -> Finding | None:
    # The tokens are on Prefect's server. A run always reaches it; `python -m flows.check` may not.
    address = get_current_settings().api.url
    # Without an address Prefect would start a temporary server, which has no blocks or deployments.
    if not address:
        advice = plain("Set it to the address of Prefect's server, such as http://127.0.0.1:4200/api.")
        return Finding(where=code("PREFECT_API_URL"), what="It is not set.", advice=advice)
    where = code(address)
    async with get_client() as client:
        if await client.api_healthcheck() is None:
            return None
    advice = plain("Start it, or correct PREFECT_API_URL.")
    return Finding(where=where, what="Prefect's server does not answer.", advice=advice)


async def _portal_findings(run: Run, portal: PortalOverview) -> AsyncIterator[Finding]:
    where = f"{plain(portal.portal_name)} ({code(portal.portal_id)})"
    if portal.connection is None:
        yield _reason_finding(Reason.PORTAL_NOT_CONNECTED, where=where)
        return
    try:
        async with open_for_form(run, organization_of(portal.connection)) as organization:
            await organization.client.organization()
            async for finding in _token_findings(run, organization, portal.connection, where=where):
                yield finding
            for configured in portal.configured:
                async for finding in _template_findings(organization, configured):
                    yield finding
    except InvalidInput as invalid:
        yield Finding(
            where=where, what=plain(str(invalid), longest=1000), advice="Correct it, or run *connect-portal* again."
        )


async def _token_findings(
    run: Run, organization: Organization, connection: CredlyConnection, *, where: str
) -> AsyncIterator[Finding]:
    moment = run.now()
    ends_at = await read_token_expiry(organization)
    if ends_at is not None:
        await run.database.write(setting_up.put_token_end, [connection.portal_id], ends_at)
    ends_at = ends_at or connection.token_ends_at
    assumed = "" if ends_at else " This is assumed: 180 days after connecting."
    ends_at = ends_at or connection.connected_at + setting_up.TOKEN_LIFE
    if ends_at - moment < WARN_BEFORE:
        yield Finding(
            where=where,
            what=f"The token in {code(connection.token_block)}: {expiry_sentence(ends_at, moment=moment)}{assumed}",
            advice="Make a new token at Credly and put it into that Secret block; nothing else is needed.",
        )


async def _template_findings(organization: Organization, configured: Configured) -> AsyncIterator[Finding]:
    template_id = configured.integration.badge_template_id
    where = f"{plain(configured.achievement_name)} ({code(configured.achievement_id)}), template {code(template_id)}"
    try:
        template = await organization.client.template(template_id)
    except NotFound:
        yield _reason_finding(Reason.TEMPLATE_NOT_FOUND, where=where)
        return
    except CredlyError as error:
        yield Finding(where=where, what=plain(f"Credly did not answer ({error})."), advice="Wait for the next check.")
        return
    if template.state not in ("active", None):
        yield _reason_finding(Reason.TEMPLATE_NOT_ACTIVE, where=where)
    if template.allow_duplicate_badges:
        yield Finding(
            where=where,
            what="The template allows duplicates.",
            advice="Credly would issue this badge twice to one earner; only Laurel's look-ups prevent that. "
            "Switch it off at Credly unless you need it.",
            needs_attention=False,
        )


def _reason_finding(reason: Reason, *, where: str) -> Finding:
    return Finding(where=where, what=plain(reason.sentence), advice=plain(reason.advice))


async def _name_findings(run: Run) -> AsyncIterator[Finding]:
    for kind in EvidenceKind:
        by_oddity: dict[Oddity, list[str]] = {}
        for key, name in await odd_names(run.database, kind):
            for oddity in oddities(name):
                by_oddity.setdefault(oddity, []).append(key)
        for oddity, ids in by_oddity.items():
            yield Finding(
                where=f"Names of {counted(len(ids), kind.value)}",
                what=f"They have {plain(oddity.words)}: {_shown(ids)}",
                advice=f"Correct them on the platform; until then {oddity.consequence}.",
            )


def _shown(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MAX_LINKS_SHOWN} more" if len(ids) > _MAX_LINKS_SHOWN else ""
    return f"{', '.join(code(each) for each in ids[:_MAX_LINKS_SHOWN])}{more}"


async def _link_findings(run: Run) -> AsyncIterator[Finding]:
    for kind in EvidenceKind:
        odd = await odd_links(run.database, kind)
        faulty = [(key, fault) for key, link in odd if (fault := fault_of_link(link.strip())) is not None]
        for fault in sorted({fault for _key, fault in faulty}):
            ids = [key for key, its_fault in faulty if its_fault is fault]
            yield Finding(
                where=f"Links of {counted(len(ids), kind.value)}",
                what=f"{plain(fault.sentence)} {_shown(ids)}",
                advice="Correct them on the platform; until then badges go out without this evidence.",
            )
