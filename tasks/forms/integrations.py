"""Enabling Credly on an achievement, changing its settings, pausing, releasing and disabling it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from credly.errors import NotFound
from credly.wire import BadgeTemplate
from models.ledger.issuance_data import facts_of_latest_award
from models.planning.names import corrected_names
from models.planning.preview import count_due_at_once, due_at_once
from models.setup import admin as setting_up
from models.setup import lookups as directory
from models.setup.history import change_settings
from models.setup.lookups import AchievementSetup
from models.setup.tables import CredlyIntegration
from models.setup.templates import owner_of_template
from rules.badge.evidence import EvidenceKind
from rules.badge.fields import fields_of
from rules.badge.issuance_data import LONGEST_EXPIRY, Expiry, IssuanceFacts
from rules.badge.request import Prepared, prepare_request
from rules.forms.configuration import FIELD_COLUMNS
from rules.forms.inputs import InvalidInput, in_the_past, static_text
from rules.forms.settings import IntegrationForm
from rules.forms.settings_plan import key_of
from rules.forms.suggestions import did_you_mean
from rules.ledger.reasons import Reason, UnusableAward
from rules.ledger.settings_changes import SettingsOf
from rules.ledger.sweep import HOLD_NAMES_ABOVE
from rules.markdown import code, plain, table
from rules.monitoring.run_page import unusable_page, unusable_words
from rules.wording import FormResult, counted, nothing_to_do
from tasks.forms.pausing import integration_of
from tasks.forms.run_form import connection_of, credly_id, known_achievement, open_for_form, organization_of
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

PUBLIC = "Evidence is **public**: everyone who sees the badge sees it."


async def enable(run: Run, achievement: str, form: IntegrationForm) -> FormResult:
    """Enable Credly on the achievement, or change its settings. Waiting badges are issued with the new ones.

    Raises:
        InvalidInput: nothing was stored; the message names the field and the fault.
    """
    moment = run.now()
    setup = await known_achievement(run, achievement)
    values = integration_columns(form, now=moment)
    async with open_for_form(run, organization_of(connection_of(setup))) as organization:
        template = await usable_template(organization, values["badge_template_id"])
    stored = await _store(run, setup, values, hold_above=form.hold_above, moment=moment)
    sentence = _enabled_sentence(achievement, stored, hold_above=form.hold_above)
    page = _enabled_page(setup, template, stored, sentence=sentence, moment=moment)
    stopped = "held" if stored.after.held_at else "paused" if stored.after.paused_at else "due at once"
    result = FormResult(
        sentence=sentence,
        outcome=f"{stored.due} {stopped}",
        page=page,
        needs_attention=stored.after.held_at is not None,
    )
    corrected = await _corrected_words(run, achievement, moment=moment)
    return result.with_notes([*_without_effect(form), *filter(None, [corrected, unusable_words(stored.unusable)])])


async def _corrected_words(run: Run, achievement: str, *, moment: datetime) -> str:
    """Return how many issued badges the next runs replace for a corrected name, "" for none."""
    badges = 0
    async for _ in corrected_names(run.database, now=moment, within=achievement):
        badges += 1
    if not badges:
        return ""
    many = f"; they are more than {HOLD_NAMES_ABOVE}, so reconcile holds them until it is run with a higher hold_above"
    return f"{counted(badges, 'badge')} to be replaced for a corrected name{many if badges > HOLD_NAMES_ABOVE else ''}"


def _without_effect(form: IntegrationForm) -> list[str]:
    """Return a sentence for each field that was filled in and is not used. Its value is stored for when it is."""
    unused = [
        f"evidence.{kind}: its texts have no effect while its switch is off"
        for kind, setting in form.evidence.as_settings().items()
        if not setting.enabled and (setting.static_name or setting.static_description)
    ]
    if form.revoke_reason.strip() and not form.revoke_when_withdrawn:
        unused.append("revoke_reason: it has no effect while revoke_when_withdrawn is off")
    return unused


@dataclass(frozen=True, kw_only=True)
class _Stored:
    before: CredlyIntegration | None
    after: CredlyIntegration
    moved: int
    due: int
    unusable: frozenset[UnusableAward]
    example: IssuanceFacts | None

    @property
    def difference(self) -> list[tuple[str, ...]]:
        if self.before is None:
            return []
        old, new = settings_of(self.before), settings_of(self.after)
        return [(name, shown(old[name]), shown(new[name])) for name in new if old[name] != new[name]]


async def _store(
    run: Run, setup: AchievementSetup, values: dict[str, Any], *, hold_above: int, moment: datetime
) -> _Stored:
    """Store the settings. Hold the integration if it now covers earlier awards and more than `hold_above` are due."""
    # Settings that reach further back are stored as held, so that no run issues anything before the count.
    achievement = setup.achievement_id
    before, moved, held = await run.database.write(setting_up.enable, achievement, values, now=moment)
    at_once = await due_at_once(run.database, achievement, now=moment)
    due = at_once.due
    if held and due <= hold_above:
        await run.database.write(setting_up.release_own_hold, achievement, values, held_at=moment, now=moment)
    after = await run.database.read(directory.integration_of, achievement)
    if after is None:
        raise AssertionError(f"the integration of {achievement} is gone after it was stored")
    example = await facts_of_latest_award(run.database, achievement, now=moment)
    return _Stored(before=before, after=after, moved=moved, due=due, unusable=at_once.unusable, example=example)


def _enabled_sentence(achievement: str, stored: _Stored, *, hold_above: int) -> str:
    changes = len(stored.difference)
    if stored.before is None:
        done = f"Credly enabled on {achievement}"
    else:
        done = f"Settings of {achievement} changed ({changes})" if changes else f"{achievement}: no change"
    due = counted(stored.due, "badge")
    if stored.after.held_at is not None:
        many = f", more than {hold_above}" if stored.due > hold_above else ""
        return f"{done}; HELD: {due} would be issued at once{many}. Run release-credly to release them"
    if stored.after.paused_at is not None:
        return f"{done}; still PAUSED: {due} would be issued at once. Run resume-credly to issue them"
    return f"{done}; {due} due at once"


def _enabled_page(
    setup: AchievementSetup, template: BadgeTemplate, stored: _Stored, *, sentence: str, moment: datetime
) -> str:
    difference, template_id = stored.difference, stored.after.badge_template_id
    moved = counted(stored.moved, "waiting badge")
    page = [
        "# Credly is enabled" if stored.before is None else "# Settings changed",
        plain(sentence, longest=500),
        f"Achievement {code(setup.achievement_id)} ({plain(setup.achievement_name)}) issues the badge template "
        f"**{plain(template.name or template_id)}** ({code(template_id)}).",
        *([f"{moved} will be issued with the new template."] if stored.moved else []),
        *(["## What changed", table(("setting", "before", "now"), difference)] if difference else []),
        *(["## Awards that cannot be entered", *unusable_page(stored.unusable)] if stored.unusable else []),
        "## Settings",
        table(("setting", "value"), [(name, shown(value)) for name, value in settings_of(stored.after).items()]),
        "## What would be sent for the latest award",
        _example(stored.example, moment),
        PUBLIC,
        f"**Next:** {_next(stored.after)}",
    ]
    return "\n\n".join(page)


def _next(integration: CredlyIntegration) -> str:
    achievement = code(integration.achievement_id)
    if integration.held_at is not None:
        return f"look at the list with *reconcile* and its preview, then run *release-credly* for {achievement}."
    if integration.paused_at is not None:
        return f"run *resume-credly* for {achievement} when badges are to be issued."
    return "nothing; *reconcile* runs every minute."


async def usable_template(organization: Organization, template_id: str) -> BadgeTemplate:
    """Return the template if it exists in this organization and is active.

    Raises:
        InvalidInput: it does not or is not; the message suggests active templates.
        CredlyError: Credly did not answer.
    """
    try:
        template = await organization.client.template(template_id)
    except NotFound:
        hint = await _active_templates(organization, template_id)
        where = organization.due.organization_id
        wrong = f"organization {code(where)} has no template {code(template_id)}"
        if template_id == where:
            wrong = f"{code(where)} is the id of the organization and of no template"
        elif owner := await organization.run.database.read(owner_of_template, template_id):
            wrong += f"; it is of organization {code(owner)}"
        raise InvalidInput(f"badge_template_id: {wrong}.{hint}") from None
    await check_active(organization, template)
    return template


async def check_active(organization: Organization, template: BadgeTemplate) -> None:
    """Check that badges of this template can be issued.

    Raises:
        InvalidInput: it is not active; the message suggests active templates.
        CredlyError: Credly did not answer.
    """
    if template.state not in ("active", None):
        hint = await _active_templates(organization, template.name or template.id)
        raise InvalidInput(
            f"badge_template_id: template {code(template.name or template.id)} is {template.state}; "
            f"Credly issues active ones only.{hint}"
        )


async def _active_templates(organization: Organization, typed: str) -> str:
    templates = await organization.client.templates(state="active")
    names = {each.id: each.name or "" for each in templates}
    if hint := did_you_mean(typed, names):
        return hint
    shown = ", ".join(f"{name} ({key})" for key, name in list(names.items())[:5])
    return f" Active templates are: {shown}." if shown else " The organization has no active template."


async def release(run: Run, achievement: str) -> FormResult:
    """Release the held badges of an integration.

    Raises:
        InvalidInput: the achievement has no integration.
    """
    integration = integration_of(await known_achievement(run, achievement))
    if integration.held_at is None:
        return nothing_to_do(f"no badges of {achievement} are held")
    moment = run.now()
    await run.database.write(change_settings, SettingsOf.INTEGRATION, achievement, {"held_at": None}, now=moment)
    due = await count_due_at_once(run.database, achievement, now=moment)
    if integration.paused_at is not None:
        sentence = f"{achievement} released; still PAUSED: {counted(due, 'badge')} waiting. Run resume-credly"
    else:
        sentence = f"{achievement} released; {counted(due, 'badge')} due with the next run of reconcile"
    return FormResult(sentence=sentence, outcome=f"{due} due", page=f"# Released\n\n{plain(sentence)}.")


def settings_of(integration: CredlyIntegration) -> dict[str, Any]:
    """Return the settings of an integration by the names of the form's fields, and since when it is paused or held."""
    settings = {key_of(column): getattr(integration, column) for column in FIELD_COLUMNS}
    settings["issue_since"] = setting_up.covers_from(integration)  # also where the form had none: awards from then on
    for kind in EvidenceKind:
        on = getattr(integration, f"{kind}_evidence")
        name, description = (getattr(integration, f"{kind}_evidence_{part}") for part in ("name", "description"))
        static = "".join(f", {part} “{text}”" for part, text in (("name", name), ("description", description)) if text)
        settings[f"evidence.{kind}"] = f"{'on' if on else 'off'}{static}"
    return settings | {"paused since": integration.paused_at, "held since": integration.held_at}


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return plain(str(value)) if value not in (None, "") else "–"


def _days(form: IntegrationForm) -> int | None:
    if form.expiry is Expiry.AFTER_DAYS:
        if not 1 <= form.expires_after_days <= LONGEST_EXPIRY:
            raise InvalidInput(
                f"expires_after_days: give a number of days from 1 to {LONGEST_EXPIRY}, or choose another expiry."
            )
        return form.expires_after_days
    if form.expires_after_days:
        raise InvalidInput("expires_after_days: counts only with the expiry 'after_days'; choose that, or leave it 0.")
    return None


def integration_columns(form: IntegrationForm, *, now: datetime) -> dict[str, Any]:
    """Return the columns of an integration: the form's fields by their names, and three for each kind of evidence.

    Raises:
        InvalidInput: a field cannot be used.
    """
    columns = form.model_dump(include=set(FIELD_COLUMNS)) | {
        "badge_template_id": credly_id(form.badge_template_id, field="badge_template_id"),
        "issue_since": in_the_past(form.issue_since, field="issue_since", now=now),
        "expires_after_days": _days(form),
        "locale": form.locale.value,
        "revoke_reason": static_text(form.revoke_reason, field="revoke_reason"),
    }
    for kind, setting in form.evidence.as_settings().items():
        columns[f"{kind}_evidence"] = setting.enabled
        for part in ("name", "description"):
            typed = getattr(setting, f"static_{part}")
            columns[f"{kind}_evidence_{part}"] = static_text(typed, field=f"evidence.{kind}.static_{part}")
    return columns


def _example(example: IssuanceFacts | None, moment: datetime) -> str:
    if example is None:
        return "Nobody has been awarded this achievement yet."
    prepared = prepare_request(example, now=moment)
    if isinstance(prepared, Reason):
        return f"Nothing, for user {code(example.user_id)}: {prepared.sentence} {prepared.advice}"
    return sent_page(example.user_id, prepared)


def sent_page(user_id: str, prepared: Prepared) -> str:
    """Return a table of the exact request, with personal values masked."""
    rows = [(name, plain(value, longest=700)) for name, value in fields_of(prepared)]
    return table(("field", "what is sent"), [("user", code(user_id)), *rows])
