"""The overview of connections and integrations."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

from models.setup.overview import Configured, PortalOverview, overview
from rules.badge.evidence import EvidenceKind
from rules.forms.inputs import InvalidInput
from rules.ledger.states import IssuanceState
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted
from tasks.forms.integrations import settings_of, shown
from tasks.forms.run_form import known_portal, open_for_form, organization_of
from tasks.operations.token_expiry import expiry_sentence
from tasks.runtime.run import Run

_COUNTED_STATES = (IssuanceState.ISSUED, IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED)
# What most integrations have; only other values are listed.
_USUAL = {
    "Credly's e-mail": "sent",
    "expiry": "template_default",
    "earned again": "refuse",
    "revoked when withdrawn": "no",
    **{f"{kind} evidence": "off" for kind in EvidenceKind},
}
_IN_TABLE = ("badge template", "paused since", "held since")


async def integrations_overview(run: Run, portal: str) -> FormResult:
    """Show the connection of each portal, and the settings and counts of each of its integrations.

    Raises:
        InvalidInput: there is no such portal.
    """
    if portal:
        await known_portal(run, portal)
    found = await overview(run.database, portal_id=portal)
    connected = sum(each.connection is not None for each in found)
    achievements = sum(len(each.configured) for each in found)
    sentence = (
        f"{connected} of {counted(len(found), 'portal')} connected · {counted(achievements, 'achievement')} with Credly"
    )
    sections = await asyncio.gather(*(_portal(run, each) for each in found))
    return FormResult(sentence=sentence, page="\n\n".join(["# What is configured", sentence, *sections]))


async def _portal(run: Run, each: PortalOverview) -> str:
    parts = [f"## {plain(each.portal_name)} ({code(each.portal_id)})", _connection(each, run.now())]
    if not each.configured:
        return "\n\n".join([*parts, "No achievement has Credly enabled."])
    names, fault = await _template_names(run, each)
    # Names and settings in a list, because Prefect's pages cut off a wide table at the right.
    columns = ("achievement", *_COUNTED_STATES, "status")
    parts += [table(columns, [_row(one) for one in each.configured])]
    parts += [f"The names of the badge templates could not be read. {plain(fault, longest=500)}"] if fault else []
    return "\n\n".join([*parts, "\n".join(_settings(one, names) for one in each.configured)])


def _connection(each: PortalOverview, moment: datetime) -> str:
    connection = each.connection
    if connection is None:
        return "**Not connected to Credly.** Badges of its achievements wait."
    return (
        f"Organization {code(connection.organization_id)} at {code(connection.base_url)}, token from Secret block "
        f"{code(connection.token_block)} ({expiry_sentence(connection.token_ends_at, moment=moment)}), "
        f"{connection.calls_per_second:g} calls a second."
        f"{' Deleted awards count as withdrawn.' if connection.deletion_withdraws else ''}"
        f"{' The token is renewed.' if connection.renew_token else ''}"
    )


async def _template_names(run: Run, each: PortalOverview) -> tuple[Mapping[str, str], str]:
    """Return the names of the organization's templates by id, and why they cannot be read, or an empty text."""
    if each.connection is None:
        return {}, ""
    try:
        async with open_for_form(run, organization_of(each.connection)) as organization:
            return {one.id: one.name or "" for one in await organization.client.templates(state=None)}, ""
    except InvalidInput as invalid:
        return {}, str(invalid)


def _row(one: Configured) -> tuple[str, ...]:
    stops = [word for word, at in (("held", one.integration.held_at), ("paused", one.integration.paused_at)) if at]
    return (
        code(one.achievement_id),
        *(str(one.counts.get(state, 0)) for state in _COUNTED_STATES),
        f"**{', '.join(stops)}**" if stops else "on",
    )


def _settings(one: Configured, names: Mapping[str, str]) -> str:
    template_id = one.integration.badge_template_id
    name = f"**{plain(names[template_id])}** " if names.get(template_id) else ""
    others = [
        f"{setting}: {shown(value)}"
        for setting, value in settings_of(one.integration).items()
        if setting not in _IN_TABLE and value not in (None, "") and value != _USUAL.get(setting)
    ]
    last = [f"last issued: {shown(one.last_issued_at)}"] if one.last_issued_at else []
    facts = [f"badge template {name}({code(template_id)})", *last, *others]
    return f"- **{plain(one.achievement_name)}** ({code(one.achievement_id)}): {' · '.join(facts)}"
