"""What a file of settings changes, with the checks that the forms make. Nothing is stored here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from models.platform.names import achievements_of
from models.setup.admin import counts_by_state
from models.setup.lookups import all_connections, all_integrations, connection_of
from rules.forms.configuration import (
    CONNECTION_COLUMNS,
    INTEGRATION_COLUMNS,
    SHOWN_FAULTS,
    Columns,
    Configuration,
    InvalidConfiguration,
    as_toml,
    place_of,
)
from rules.forms.inputs import InvalidInput
from rules.forms.settings_plan import Change, differences, plan_lines
from rules.forms.token_format import fault_of_token
from rules.ledger.settings_changes import SettingsOf
from rules.ledger.states import IssuanceState
from rules.markdown import code
from tasks.forms.connections import accepted, connection_columns, refuse_block_in_use, target_of, usable_block
from tasks.forms.integrations import check_active, integration_columns, usable_template
from tasks.forms.run_form import known_achievement, known_portal, open_for_form
from tasks.runtime.organization import Organization
from tasks.runtime.run import Run

# Up to so many templates are requested one by one; for more, the pages of the whole list are fewer calls.
_TEMPLATES_ONE_BY_ONE = 5
_CONNECTION, _INTEGRATION = SettingsOf.CONNECTION, SettingsOf.INTEGRATION


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The changes in the order in which they are written, and what they need.

    `connections` are those of after the changes, by portal, and `portals` the portals of the file's achievements.
    """

    configuration: Configuration
    changes: Sequence[Change]
    connections: Mapping[str, Columns]
    portals: Mapping[str, str]
    waiting: Mapping[str, int]

    @property
    def lines(self) -> list[str]:
        return list(plan_lines(self.changes, waiting=self.waiting))

    def of(self, settings_of: SettingsOf) -> list[Change]:
        return [each for each in self.changes if each.settings_of is settings_of]


async def export(run: Run) -> str:
    """Return the stored settings as a file."""
    connections, integrations = await _stored(run)
    return as_toml(connections, integrations)


async def plan_of(run: Run, configuration: Configuration, *, prune: bool, remove_at_most: int) -> Plan:
    """Compare a file with the stored settings.

    Raises:
        InvalidConfiguration: an entry cannot be used, or more would be removed than allowed.
    """
    faults = _Faults()
    connections, integrations = _columns(run, configuration, faults)
    faults.refuse()
    stored_connections, stored_integrations = await _stored(run)
    of_portals = differences(_CONNECTION, connections, stored_connections, prune=prune)
    of_achievements = differences(_INTEGRATION, integrations, stored_integrations, prune=prune)
    kept = [each for each in [*of_portals, *of_achievements] if each.after is not None]
    removed = [each for each in [*of_achievements, *of_portals] if each.after is None]
    # What is stored like this already is no fault, whatever became of it on the platform: an export changes nothing.
    portals = await _portals(run, configuration, kept, faults)
    gone = {each.key for each in of_portals if each.after is None}
    after = {key: value for key, value in {**stored_connections, **connections}.items() if key not in gone}
    changed = {each.key for each in of_achievements}
    for key, portal in portals.items():
        if portal not in after and (key in changed or portal in gone):
            how = "would be disconnected" if portal in gone else "is not connected to Credly"
            add = place_of(_CONNECTION, portal)
            faults.add(_INTEGRATION, key, f"achievement: its portal {portal} {how}. Add {add} to the file.")
    if len(removed) > remove_at_most:
        faults.found.append(
            f"--prune: {len(removed)} entries would be removed, more than {remove_at_most}. If that is meant, add "
            f"--remove-at-most {len(removed)}."
        )
    faults.refuse()
    waiting = {each.key: await _waiting(run, each.key) for each in removed if each.settings_of is _INTEGRATION}
    return Plan(
        configuration=configuration,
        changes=[*kept, *removed],
        connections=after,
        portals=portals,
        waiting=waiting,
    )


async def check_at_credly(run: Run, plan: Plan, *, token: SecretStr | None = None) -> dict[str, datetime | None]:
    """Check connections and templates that change, each organization once; return when the tokens end, by portal.

    `token` is a new one of all connections in the file, which their block does not hold yet.

    Raises:
        InvalidConfiguration: Credly refuses a token, an organization or a template, or does not answer.
    """
    faults = _Faults()
    connecting = {each.key for each in plan.of(_CONNECTION) if each.after is not None}
    if token is not None:
        connecting |= plan.configuration.connections.keys()
        _check_new_token(plan, token, faults)
        faults.refuse()
    moved = {each.key for each in plan.of(_CONNECTION) if _other_organization(each)}
    changed = {each.key for each in plan.of(_INTEGRATION) if each.after is not None}
    templates: dict[str, dict[str, str]] = {}
    for key, portal in plan.portals.items():
        if key in changed or portal in moved:
            template_id = integration_columns(plan.configuration.integrations[key], now=run.now())["badge_template_id"]
            templates.setdefault(portal, {})[key] = template_id
    ends: dict[str, datetime | None] = {}
    for portals in _by_access(plan.connections, connecting | templates.keys()):
        target = target_of(plan.connections[portals[0]], *portals)
        new = [portal for portal in portals if portal in connecting]
        for portal in new:
            with faults.of(_CONNECTION, portal):
                await refuse_block_in_use(run, await run.database.read(connection_of, portal), target)
        with faults.of(_CONNECTION, portals[0]):
            if token is None:
                await usable_block(target.token_block)
            async with open_for_form(run, target, token=token) as organization:
                if new:
                    _, ends_at = await accepted(organization)
                    ends |= dict.fromkeys(new, ends_at)
                wanted = {key: template for portal in portals for key, template in templates.get(portal, {}).items()}
                await _check_templates(organization, wanted, faults)
    faults.refuse()
    return ends


def _check_new_token(plan: Plan, token: SecretStr, faults: "_Faults") -> None:
    wrong = fault_of_token(token.get_secret_value())
    for portal in plan.configuration.connections:
        block, organization = _block_and_organization(plan.connections[portal])
        if wrong is not None:
            faults.add(_CONNECTION, portal, f"the token cannot be used: {wrong}. Enter it again.")
        for other, columns in plan.connections.items():
            of_other = _block_and_organization(columns)
            if of_other[0] == block and of_other[1] != organization:
                fault = f"token_block: Secret block {code(block)} holds the token of portal {code(other)}, of another "
                faults.add(_CONNECTION, portal, f"{fault}organization. Give another name.")


def _block_and_organization(columns: Columns) -> tuple[str, tuple[str, str]]:
    return columns["token_block"], (columns["base_url"], columns["organization_id"])


async def _check_templates(organization: Organization, wanted: Mapping[str, str], faults: "_Faults") -> None:
    distinct = set(wanted.values())
    many = len(distinct) > _TEMPLATES_ONE_BY_ONE
    listed = {each.id: each for each in await organization.client.templates(state=None)} if many else {}
    accepted_ids: set[str] = set()
    for key, template_id in wanted.items():
        if template_id in accepted_ids or len(faults.found) >= SHOWN_FAULTS:
            continue
        with faults.of(_INTEGRATION, key):
            if template_id in listed:
                await check_active(organization, listed[template_id])
            else:  # also where Credly's list lags behind
                await usable_template(organization, template_id)
            accepted_ids.add(template_id)


def _by_access(connections: Mapping[str, Columns], portals: set[str]) -> list[list[str]]:
    """Return the portals in groups that have organization and token in common."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for portal in sorted(portals):
        access = tuple(connections[portal][name] for name in ("base_url", "organization_id", "token_block"))
        groups.setdefault(access, []).append(portal)
    return list(groups.values())


def _other_organization(change: Change) -> bool:
    names = ("base_url", "organization_id")
    before, after = change.before, change.after
    return before is not None and after is not None and any(before[name] != after[name] for name in names)


async def _portals(
    run: Run, configuration: Configuration, changes: Sequence[Change], faults: "_Faults"
) -> dict[str, str]:
    """Return the portals of the file's achievements; changes of what the platform does not have are faults."""
    found = await run.platform.read(achievements_of, list(configuration.integrations))
    for each in changes:
        if len(faults.found) >= SHOWN_FAULTS or (each.settings_of is _INTEGRATION and each.key in found):
            continue
        with faults.of(each.settings_of, each.key):
            await (known_portal if each.settings_of is _CONNECTION else known_achievement)(run, each.key)
    return {key: found[key].portal_id for key in configuration.integrations if key in found}


def _columns(
    run: Run, configuration: Configuration, faults: "_Faults"
) -> tuple[dict[str, Columns], dict[str, Columns]]:
    connections: dict[str, Columns] = {}
    integrations: dict[str, Columns] = {}
    for key, connection in configuration.connections.items():
        with faults.of(_CONNECTION, key):
            connections[key] = connection_columns(connection, run.platform.mapping)
    for key, integration in configuration.integrations.items():
        with faults.of(_INTEGRATION, key):
            integrations[key] = integration_columns(integration, now=run.now())
    return connections, integrations


async def _stored(run: Run) -> tuple[dict[str, Columns], dict[str, Columns]]:
    connections = await run.database.read(all_connections)
    integrations = await run.database.read(all_integrations)
    return _of_rows(connections, CONNECTION_COLUMNS), _of_rows(integrations, INTEGRATION_COLUMNS)


def _of_rows(rows: Mapping[str, Any], names: Sequence[str]) -> dict[str, Columns]:
    return {key: {name: getattr(row, name) for name in names} for key, row in rows.items()}


async def _waiting(run: Run, achievement: str) -> int:
    counts = await run.database.read(counts_by_state, achievement)
    return sum(counts.get(state, 0) for state in (IssuanceState.PENDING, IssuanceState.BLOCKED))


class _Faults:
    """Collects the faults of a file, each with its table."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, settings_of: SettingsOf, key: str, fault: str) -> None:
        self.found.append(f"{place_of(settings_of, key)} {fault}")

    @contextmanager
    def of(self, settings_of: SettingsOf, key: str) -> Iterator[None]:
        try:
            yield
        except InvalidInput as invalid:
            self.add(settings_of, key, str(invalid))

    def refuse(self) -> None:
        if self.found:
            raise InvalidConfiguration(self.found)
