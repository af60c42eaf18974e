"""Reading the badge templates of connected organizations, and refreshing all menus."""

import asyncio
from datetime import datetime

from prefect.client.orchestration import get_client

from credly.wire import BadgeTemplate
from models.ledger.claiming import DueOrganization
from models.setup.lookups import all_connections
from models.setup.tables import CredlyConnection
from models.setup.templates import CredlyTemplate, replace_templates
from rules.badge.text import tidy
from rules.forms.inputs import InvalidInput
from rules.markdown import plain
from rules.wording import FormResult, counted
from tasks.forms.run_form import open_for_form, organization_of
from tasks.menus.publish import publish_menus
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run


async def refresh(run: Run) -> FormResult:
    """Read each organization's templates, and write all menus. Templates that cannot be read stay as they are."""
    connections = (await run.database.read(all_connections)).values()
    organizations = {(each.base_url, each.organization_id): each for each in connections}
    slots = asyncio.Semaphore(run.settings.organizations_at_once)
    read = await asyncio.gather(*(_read(run, each, slots) for each in organizations.values()))
    faults = [each for each in read if isinstance(each, str)]
    async with get_client() as client:
        changed = await publish_menus(run.database, client)
    count = sum(each for each in read if isinstance(each, int))
    sentence = f"{counted(count, 'badge template')} read; {counted(changed, 'form')} changed"
    if faults:
        sentence += f"; {counted(len(faults), 'organization')} not read"
    page = [f"# Menus refreshed\n\n{sentence}.", *(plain(fault, longest=500) for fault in faults)]
    return FormResult(sentence=sentence, page="\n\n".join(page), needs_attention=bool(faults))


async def _read(run: Run, connection: CredlyConnection, slots: asyncio.Semaphore) -> int | str:
    """Store an organization's templates; return how many, or why they could not be read."""
    try:
        async with slots, open_for_form(run, organization_of(connection)) as organization:
            return await store_templates(run, organization)
    except InvalidInput as fault:
        return f"Organization {connection.organization_id}: {fault}"


async def store_templates(run: Run, organization: Organization) -> int:
    """Store the organization's templates as Credly lists them, of every state; return how many.

    Raises:
        CredlyError: the list could not be read; what was stored before stays.
    """
    found = await organization.client.templates(state=None)
    due, now = organization.due, run.now()
    records = [template_record(due, each, now=now) for each in {each.id: each for each in found}.values()]
    await run.database.write(
        replace_templates, base_url=due.base_url, organization_id=due.organization_id, found=records
    )
    return len(records)


def template_record(due: DueOrganization, template: BadgeTemplate, *, now: datetime) -> CredlyTemplate:
    return CredlyTemplate(
        base_url=due.base_url,
        organization_id=due.organization_id,
        template_id=template.id,
        name=tidy(template.name or "")[:255],
        state=(template.state or "state unknown")[:40],
        image_url=(template.image_url or "")[:1000],
        read_at=now,
    )
