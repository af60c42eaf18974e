"""The overview of connections and integrations."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from models.platform.names import NamedAchievement
from models.setup.overview import Configured, PortalOverview, overview
from models.setup.tables import CredlyIntegration
from rules.forms.inputs import InvalidInput
from rules.forms.links import enable_parameters, form_link
from rules.ledger.states import IssuanceState
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted
from tasks.forms.integrations import settings_of, shown
from tasks.forms.run_form import known_portal, open_for_form, organization_of
from tasks.operations.token_expiry import expiry_sentence
from tasks.runtime.form_links import form_address
from tasks.runtime.run import Run

_COUNTED_STATES = (IssuanceState.ISSUED, IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# What an integration has unless it is set; only other values are listed.
_USUAL = settings_of(CredlyIntegration(achievement_id="", badge_template_id="", enabled_at=_LONG_AGO))
_SHOWN_ELSEWHERE = ("badge_template_id", "paused since", "held since")
# Of each kind on a page, which Prefect's pages show within seconds.
AT_MOST = 1000
_LONGEST_ID = 36  # in the table: 1280 pixels have room for no more


@dataclass(frozen=True, kw_only=True)
class _Forms:
    """The addresses of the forms that the page links to."""

    enable: str
    release: str


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
    forms = _Forms(enable=await form_address(run, "enable-credly"), release=await form_address(run, "release-credly"))
    sections = await asyncio.gather(
        *(_portal(run, *each, forms) for each in zip(found, _shortened(found), strict=True))
    )
    return FormResult(sentence=sentence, page="\n\n".join(["# What is configured", sentence, *sections]))


def _shortened(found: Sequence[PortalOverview]) -> Iterator[PortalOverview]:
    """Yield the portals with at most `AT_MOST` achievements with Credly in all, and as many others."""
    configured = others = AT_MOST
    for each in found:
        yield replace(each, configured=each.configured[:configured], others=each.others[:others])
        configured = max(configured - len(each.configured), 0)
        others = max(others - len(each.others), 0)


async def _portal(run: Run, whole: PortalOverview, each: PortalOverview, forms: _Forms) -> str:
    """Return the portal's section; `each` has those of its achievements that are listed."""
    parts = [f"## {plain(each.portal_name)} ({code(each.portal_id)})", _connection(each, run.now())]
    if each.configured:
        parts += await _configured(run, each, forms)
    elif not whole.configured:
        parts += ["No achievement has Credly enabled."]
    parts += _more(len(whole.configured) - len(each.configured))
    if whole.others:
        parts += [f"**{counted(len(whole.others), 'achievement')} without Credly**"]
        parts += [" · ".join(_other(one, forms) for one in each.others)] if each.others else []
        parts += _more(len(whole.others) - len(each.others))
    return "\n\n".join(parts)


async def _configured(run: Run, each: PortalOverview, forms: _Forms) -> list[str]:
    names, fault = await _template_names(run, each)
    # Names and settings in a list, because Prefect's pages cut off a wide table at the right.
    columns = ("achievement", *_COUNTED_STATES, "status")
    return [
        table(columns, [_row(one) for one in each.configured]),
        *([f"The names of the badge templates could not be read. {plain(fault, longest=500)}"] if fault else []),
        "\n".join(_settings(one, names, forms) for one in each.configured),
    ]


def _other(one: NamedAchievement, forms: _Forms) -> str:
    link = form_link(forms.enable, achievement=one.achievement_id)
    # No name as the text of a link: there the classic pages show escapes.
    return f"{plain(one.achievement_name)} ({code(one.achievement_id)}{f', [enable]({link})' if link else ''})"


def _more(count: int) -> list[str]:
    return [f"… and {count} more. For one portal, *list-integrations* shows {AT_MOST} of each kind."] if count else []


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
        code(one.achievement_id, longest=_LONGEST_ID),
        *(str(one.counts.get(state, 0)) for state in _COUNTED_STATES),
        f"**{', '.join(stops)}**" if stops else "on",
    )


def unusual_settings(integration: CredlyIntegration) -> dict[str, Any]:
    """Return the settings that are listed beside the template: from when awards are covered, and unusual values."""
    return {
        setting: value
        for setting, value in settings_of(integration).items()
        if setting not in _SHOWN_ELSEWHERE and value != _USUAL[setting]
    }


def _settings(one: Configured, names: Mapping[str, str], forms: _Forms) -> str:
    template_id = one.integration.badge_template_id
    name = f"**{plain(names[template_id])}** " if names.get(template_id) else ""
    others = [f"{setting}: {shown(value)}" for setting, value in unusual_settings(one.integration).items()]
    last = [f"last issued: {shown(one.last_issued_at)}"] if one.last_issued_at else []
    facts = [f"badge template {name}({code(template_id)})", *last, *others]
    change = form_link(forms.enable, **enable_parameters(one.achievement_id, one.integration.model_dump()))
    release = form_link(forms.release if one.integration.held_at else "", achievement=one.achievement_id)
    links = [f"[{text}]({link})" for text, link in (("change", change), ("release", release)) if link]
    return f"- **{plain(one.achievement_name)}** ({code(one.achievement_id)}): {' · '.join([*facts, *links])}"
