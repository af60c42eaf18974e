"""The overview of connections and integrations."""

from datetime import datetime

from models.setup.overview import Configured, PortalOverview, overview
from rules.badge.evidence import EvidenceKind
from rules.ledger.states import IssuanceState
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted
from tasks.forms.run_form import known_portal
from tasks.operations.token_expiry import expiry_sentence
from tasks.runtime.run import Run

_COUNTED_STATES = (IssuanceState.ISSUED, IssuanceState.PENDING, IssuanceState.BLOCKED, IssuanceState.FAILED)


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
    return FormResult(
        sentence=sentence,
        page="\n\n".join(["# What is configured", sentence, *(_portal(each, run.now()) for each in found)]),
    )


def _portal(each: PortalOverview, moment: datetime) -> str:
    head = f"## {plain(each.portal_name)} ({code(each.portal_id)})"
    connection = each.connection
    if connection is None:
        how = "**Not connected to Credly.** Badges of its achievements wait."
    else:
        how = (
            f"Organization {code(connection.organization_id)} at {code(connection.base_url)}, token from Secret block "
            f"{code(connection.token_block)} ({expiry_sentence(connection.token_ends_at, moment=moment)}), "
            f"{connection.calls_per_second:g} calls a second."
            f"{' Deleted awards count as withdrawn.' if connection.deletion_withdraws else ''}"
        )
    if not each.configured:
        return f"{head}\n\n{how}\n\nNo achievement has Credly enabled."
    # The important columns first, because Prefect's pages cut off a wide table at the right.
    columns = ("achievement", *_COUNTED_STATES, "", "evidence", "last issued (UTC)", "template")
    return f"{head}\n\n{how}\n\n{table(columns, [_row(one) for one in each.configured])}"


def _row(one: Configured) -> tuple[str, ...]:
    integration = one.integration
    evidence = ", ".join(kind for kind in EvidenceKind if getattr(integration, f"{kind}_evidence"))
    last = f"{one.last_issued_at:%Y-%m-%d %H:%M}" if one.last_issued_at else "–"
    hindrance = "**held**" if integration.held_at else "paused" if integration.paused_at else ""
    return (
        f"{plain(one.achievement_name)} ({code(one.achievement_id)})",
        *(str(one.counts.get(state, 0)) for state in _COUNTED_STATES),
        hindrance,
        evidence or "none",
        last,
        code(integration.badge_template_id),
    )
