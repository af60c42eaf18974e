"""The entries of each menu, from the platform, the settings and the stored badge templates."""

from collections.abc import Iterable, Mapping

from models.database import Database
from models.platform.names import Listed, listed
from models.platform.tables import Achievement, Company, PlatformTable, Portal, Project
from models.setup.lookups import all_connections, all_integrations
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.setup.templates import CredlyTemplate, all_templates
from rules.forms.menus import MOST_ENTRIES, Menu, entry

Connections = Mapping[str, CredlyConnection]
_MODELS: dict[Menu, type[PlatformTable]] = {
    Menu.PORTAL: Portal,
    Menu.ACHIEVEMENT: Achievement,
    Menu.COMPANY: Company,
    Menu.PROJECT: Project,
}


async def menu_entries(database: Database) -> dict[str, list[str]]:
    """Return the entries of each menu; none where there are more than `MOST_ENTRIES`."""
    found = {
        menu: await database.platform.read(listed, model, at_most=MOST_ENTRIES + 1) for menu, model in _MODELS.items()
    }
    connections = await database.read(all_connections)
    integrations = await database.read(all_integrations)
    templates = await database.read(all_templates)
    portals = {each.id: each.name or each.id for each in found[Menu.PORTAL]}
    entries = {
        Menu.PORTAL: _portals(found[Menu.PORTAL], connections),
        Menu.ACHIEVEMENT: _achievements(found[Menu.ACHIEVEMENT], portals, integrations),
        Menu.TEMPLATE: _templates(templates, portals, connections),
        Menu.COMPANY: (entry(each.id, each.name) for each in found[Menu.COMPANY]),
        Menu.PROJECT: (entry(each.id, each.name) for each in found[Menu.PROJECT]),
    }
    return {menu: _sorted(each) for menu, each in entries.items()}


def _sorted(entries: Iterable[str]) -> list[str]:
    usable = sorted({each for each in entries if each}, key=lambda each: (each.casefold(), each))
    return usable if len(usable) <= MOST_ENTRIES else []


def _portals(portals: Iterable[Listed], connections: Connections) -> Iterable[str]:
    for each in portals:
        yield entry(each.id, each.name, note="connected" if each.id in connections else "not connected")


def _achievements(
    achievements: Iterable[Listed], portals: Mapping[str, str], integrations: Mapping[str, CredlyIntegration]
) -> Iterable[str]:
    for each in achievements:
        portal = [portals.get(each.portal_id, each.portal_id)] if len(portals) != 1 else []
        yield entry(each.id, each.name, note=", ".join([*portal, _status(integrations.get(each.id))]))


def _status(integration: CredlyIntegration | None) -> str:
    if integration is None:
        return "off"
    return "held" if integration.held_at else "paused" if integration.paused_at else "on"


def _templates(
    templates: Iterable[CredlyTemplate], portals: Mapping[str, str], connections: Connections
) -> Iterable[str]:
    """Yield the templates of connected organizations, with the names of portals where organizations differ."""
    names: dict[tuple[str, str], list[str]] = {}
    for portal_id, each in connections.items():
        names.setdefault((each.base_url, each.organization_id), []).append(portals.get(portal_id, portal_id))
    for template in templates:
        if of_organization := names.get((template.base_url, template.organization_id)):
            portal = [" and ".join(sorted(of_organization)[:2])] if len(names) > 1 else []
            yield entry(template.template_id, template.name, note=", ".join([*portal, template.state]))
