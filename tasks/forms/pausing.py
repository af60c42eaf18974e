"""Pausing, resuming and disabling Credly on an achievement: what needs neither Credly nor planning."""

from models.setup import admin as setting_up
from models.setup.history import change_settings
from models.setup.lookups import AchievementSetup
from models.setup.tables import CredlyIntegration
from rules.forms.inputs import InvalidInput
from rules.ledger.settings_changes import SettingsOf
from rules.ledger.states import IssuanceState
from rules.markdown import code, plain
from rules.wording import FormResult, counted, nothing_to_do
from tasks.forms.run_form import known_achievement
from tasks.runtime.run import Run


async def pause(run: Run, achievement: str, *, paused: bool) -> FormResult:
    """Pause or resume an integration. Badges that become due while it is paused wait.

    Raises:
        InvalidInput: the achievement has no integration.
    """
    setup = await known_achievement(run, achievement)
    integration = integration_of(setup)
    if (integration.paused_at is not None) == paused:
        return nothing_to_do(f"{achievement} is {'paused already' if paused else 'not paused'}")
    moment = run.now()
    values = {"paused_at": moment if paused else None}
    await run.database.write(change_settings, SettingsOf.INTEGRATION, achievement, values, now=moment)
    counts = await run.database.read(setting_up.counts_by_state, achievement)
    waiting = counts.get(IssuanceState.PENDING, 0)
    if paused:
        sentence = f"{achievement} paused; {counted(waiting, 'badge')} waiting, and badges that become due wait too"
    elif integration.held_at is not None:
        sentence = f"{achievement} resumed; still HELD: {counted(waiting, 'badge')} waiting. Run release-credly"
    else:
        sentence = f"{achievement} resumed; {counted(waiting, 'waiting badge')} due with the next run of reconcile"
    return FormResult(sentence=sentence, page=f"# {'Paused' if paused else 'Resumed'}\n\n{plain(sentence)}.")


async def disable(run: Run, achievement: str) -> FormResult:
    """Delete the integration and cancel its waiting badges. Issued badges stay.

    Raises:
        InvalidInput: there is no such achievement.
    """
    setup = await known_achievement(run, achievement)
    if setup.integration is None:
        return nothing_to_do(f"Credly is not enabled on {achievement}")
    cancelled = await run.database.write(setting_up.remove_integration, achievement, now=run.now())
    counts = await run.database.read(setting_up.counts_by_state, achievement)
    kept = counted(counts.get(IssuanceState.ISSUED, 0), "issued badge")
    sentence = f"Credly disabled on {achievement}; {counted(cancelled, 'waiting badge')} cancelled, {kept} kept"
    page = (
        f"# Credly is disabled\n\n{plain(sentence)}.\n\nThe issued badges stay at Credly and in the ledger. If Credly "
        "is enabled again, it covers awards made from then on; *issue_since* reaches further back."
    )
    return FormResult(sentence=sentence, page=page)


def integration_of(setup: AchievementSetup) -> CredlyIntegration:
    """Return the achievement's integration.

    Raises:
        InvalidInput: it has none.
    """
    if setup.integration is None:
        raise InvalidInput(
            f"achievement: {code(setup.achievement_id)} has no Credly integration. Run enable-credly first."
        )
    return setup.integration
