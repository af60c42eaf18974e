"""Each change of a connection or an integration leaves a row with what changed, in the same transaction."""

import asyncio
import json
import re
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from models.database import Database
from models.diagnostics.explain import history_of
from models.ledger.tables import BadgeIssuance
from models.setup import admin as setting_up
from models.setup.history import SettingsChange, change_settings, put_settings
from models.setup.operator_runs import OperatorRun, put_operator
from models.setup.tables import CredlyIntegration
from rules.explain.history import Operator
from rules.ledger.settings_changes import SettingsAction, SettingsOf
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition
from settings import ROOT
from tests.support.factories import (
    ACHIEVEMENT,
    NOW,
    PORTAL,
    TEMPLATE,
    USER,
    an_award,
    an_issuance,
    change,
    remove,
    rows_of,
    the_row_of,
)
from tests.support.plans import DAY, HOUR, planned

INTEGRATION = SettingsOf.INTEGRATION
CONNECTED: dict[str, Any] = {
    "organization_id": "organization-1",
    "token_block": "credly-northwind",
    "base_url": "https://credly.example.org",
    "calls_per_second": 3.0,
    "missing_name": "",
    "deletion_withdraws": False,
    "renew_token": False,
    "token_ends_at": None,
    "connected_at": NOW,
}


async def changed(database: Database) -> list[tuple[str, dict[str, Any]]]:
    return [(row.action, json.loads(row.changes)) for row in await rows_of(database, SettingsChange)]


async def test_a_portal_is_connected_changed_and_disconnected(database: Database) -> None:
    database.flow_run = lambda: "run-1"
    for now, values in (
        (NOW, {}),
        (NOW + HOUR, {"connected_at": NOW + HOUR, "token_ends_at": NOW + DAY}),
        (NOW + DAY, {"calls_per_second": 5.0}),
    ):
        await database.write(setting_up.put_connection, PORTAL, CONNECTED | values, now=now)
    await database.write(setting_up.remove_connection, PORTAL, now=NOW + 2 * DAY)
    await database.write(setting_up.remove_connection, PORTAL, now=NOW + 3 * DAY)

    connected, paced, removed = await rows_of(database, SettingsChange)

    assert (connected.settings_of, connected.subject_id, connected.at) == ("connection", PORTAL, NOW)
    assert (connected.action, connected.flow_run_id, connected.reconstructed) == ("connected", "run-1", False)
    settings = CONNECTED.keys() - {"token_ends_at", "connected_at"}
    assert {name: after for name, (_, after) in json.loads(connected.changes).items()} == {
        name: CONNECTED[name] for name in settings
    }
    assert (paced.action, json.loads(paced.changes)) == ("changed", {"calls_per_second": [3.0, 5.0]})
    assert (removed.action, removed.at) == ("disconnected", NOW + 2 * DAY)
    assert json.loads(removed.changes)["calls_per_second"] == [5.0, None]


async def test_each_step_of_an_integration_has_its_name(ready: Database) -> None:
    await remove(ready, CredlyIntegration)
    since = NOW - DAY
    values = {"badge_template_id": TEMPLATE, "issue_since": since}
    await ready.write(setting_up.enable, ACHIEVEMENT, values, now=NOW)
    await ready.write(setting_up.release_own_hold, ACHIEVEMENT, values, held_at=NOW, now=NOW)
    for paused_at in (NOW, None):
        await ready.write(change_settings, INTEGRATION, ACHIEVEMENT, {"paused_at": paused_at}, now=NOW)
    await ready.write(setting_up.enable, ACHIEVEMENT, values, now=NOW + HOUR)
    await ready.write(setting_up.enable, ACHIEVEMENT, values | {"badge_template_id": "template-2"}, now=NOW + HOUR)
    await ready.write(setting_up.remove_integration, ACHIEVEMENT, now=NOW + DAY)

    (_, enabled), *others = await changed(ready)

    assert enabled["issue_since"] == [None, since.isoformat()]
    assert enabled["user_evidence"] == [None, False]
    assert enabled.keys() & {"planned_at", "id", "achievement_id", "held_at"} == set()
    at = NOW.isoformat()
    assert others[:-1] == [
        ("held", {"held_at": [None, at]}),
        ("released", {"held_at": [at, None]}),
        ("paused", {"paused_at": [None, at]}),
        ("resumed", {"paused_at": [at, None]}),
        ("changed", {"badge_template_id": [TEMPLATE, "template-2"]}),
    ]
    assert others[-1][0] == "disabled"
    assert others[-1][1]["badge_template_id"] == ["template-2", None]


async def test_a_change_that_is_rolled_back_leaves_nothing(ready: Database) -> None:
    def fail(connection: Connection) -> None:
        change_settings(connection, INTEGRATION, ACHIEVEMENT, {"locale": "de"}, now=NOW)
        connection.execute(text("UPDATE credly_integrations SET expiry = 'unheard_of'"))

    with pytest.raises(IntegrityError):
        await ready.write(fail)

    assert await rows_of(ready, SettingsChange) == []


async def test_what_is_not_there_any_more_is_not_changed(ready: Database) -> None:
    await remove(ready, CredlyIntegration)

    assert not await ready.write(change_settings, INTEGRATION, ACHIEVEMENT, {"paused_at": NOW}, now=NOW)

    assert await rows_of(ready, SettingsChange) == []


async def test_what_many_make_at_one_moment_is_made_once(ready: Database) -> None:
    await remove(ready, CredlyIntegration)

    def put(connection: Connection, template: str) -> bool:
        values = {"badge_template_id": template, "enabled_at": NOW}
        return put_settings(connection, INTEGRATION, ACHIEVEMENT, values, now=NOW)

    there_before = await asyncio.gather(*(ready.write(put, f"template-{number}") for number in range(8)))

    assert sorted(there_before) == [False] + 7 * [True]
    (first, made), *others = await changed(ready)
    templates = [made["badge_template_id"], *(changes["badge_template_id"] for _, changes in others)]
    assert (first, {action for action, _ in others}) == ("enabled", {"changed"})
    # Each change has replaced what the one before has left.
    assert [before for before, _ in templates] == [None, *(after for _, after in templates[:-1])]
    assert (await the_row_of(ready, CredlyIntegration)).badge_template_id == templates[-1][1]


async def test_who_started_a_run_is_kept_once(database: Database) -> None:
    database.flow_run = lambda: "run-1"
    for creator in ("USER: jo", ""):
        await database.write(put_operator, creator=creator, operator_id="o-17", now=NOW)

    row = await the_row_of(database, OperatorRun)

    assert (row.flow_run_id, row.creator, row.operator_id, row.at) == ("run-1", "USER: jo", "o-17", NOW)


async def test_all_that_happened_is_read_with_who_started_it(ready: Database) -> None:
    await an_award(ready)
    await planned(ready, now=NOW)
    ready.flow_run = lambda: "run-1"
    await ready.write(put_operator, creator="USER: jo", operator_id="o-17", now=NOW)
    await ready.write(setting_up.enable, ACHIEVEMENT, {"badge_template_id": "template-2", "issue_since": None}, now=NOW)
    await ready.write(setting_up.remove_connection, PORTAL, now=NOW + HOUR)
    ready.flow_run = lambda: "run-2"
    await ready.write(setting_up.remove_integration, ACHIEVEMENT, now=NOW + DAY)

    history = (await history_of(ready, user_id=USER, achievement_id=ACHIEVEMENT, now=NOW + DAY)).history

    jo = Operator(creator="USER: jo", operator_id="o-17")
    assert [(each.action, each.subject_id, each.operator) for each in history.settings_changes] == [
        (SettingsAction.CHANGED, ACHIEVEMENT, jo),
        (SettingsAction.DISCONNECTED, PORTAL, jo),
        (SettingsAction.DISABLED, ACHIEVEMENT, None),
    ]
    assert history.settings_changes[0].changes == {"badge_template_id": (TEMPLATE, "template-2")}
    (row,) = history.rows
    pending, blocked = IssuanceState.PENDING, IssuanceState.BLOCKED
    assert [(each.transition, each.from_state, each.to_state) for each in row.transitions] == [
        (Transition.ENQUEUE, None, pending),
        (Transition.CHANGE_TEMPLATE, pending, pending),
        (Transition.BLOCK, pending, blocked),
        (Transition.CANCEL, blocked, IssuanceState.CANCELLED),
    ]
    assert [each.operator for each in row.transitions] == [None, jo, jo, None]
    assert [each.badge_template_id for each in row.transitions][:2] == [TEMPLATE, "template-2"]


async def test_analysts_read_both_histories_without_names(ready: Database) -> None:
    await an_award(ready)
    await planned(ready, now=NOW)
    ready.flow_run = lambda: "run-1"
    await ready.write(put_operator, creator="USER: jo", operator_id="o-17", now=NOW)
    await ready.write(setting_up.remove_integration, ACHIEVEMENT, now=NOW + HOUR)

    async def read(columns: str, view: str) -> list[Any]:
        query = text(f"SELECT {columns} FROM {view} ORDER BY at")
        return await ready.read(lambda connection: [tuple(row) for row in connection.execute(query)])

    columns = "user_id, achievement_id, portal_id, transition, from_state, to_state, reason, flow_run_id, operator_id"
    assert await read(columns, "laurel_history") == [
        (USER, ACHIEVEMENT, PORTAL, "enqueue", None, "pending", None, None, None),
        (USER, ACHIEVEMENT, PORTAL, "cancel", "pending", "cancelled", "integration_removed", "run-1", "o-17"),
    ]
    columns = "settings_of, subject_id, action, flow_run_id, operator_id"
    assert await read(columns, "laurel_settings_history") == [("integration", ACHIEVEMENT, "disabled", "run-1", "o-17")]


async def test_the_queries_of_the_document_answer_from_the_histories_alone(ready: Database) -> None:
    page = (ROOT / "docs" / "how-to" / "run-history.md").read_text(encoding="utf-8")
    section = page.partition("## The history of a badge")[2]
    transitions, settings = re.findall(r"^    (SELECT.+?);", section, re.DOTALL | re.MULTILINE)
    if ready.engine.dialect.name == "sqlite":
        settings = settings.replace("s.changes::json", "s.changes")
    values = {"badge_template_id": TEMPLATE, "issue_since": None, "locale": "de"}
    await ready.write(setting_up.enable, ACHIEVEMENT, values, now=NOW)
    issuance = await an_issuance(ready, state=IssuanceState.ISSUING, flow_run_id="run-2", updated_at=NOW + HOUR)
    await change(ready, BadgeIssuance, issuance, **issued_at(NOW + 2 * HOUR))
    await ready.write(setting_up.enable, ACHIEVEMENT, values | {"locale": "fr"}, now=NOW + DAY)

    async def read(query: str) -> list[Any]:
        own = query.replace("u-4711", USER).replace("forklift", ACHIEVEMENT)
        return await ready.read(lambda connection: list(connection.execute(text(own.replace("::", r"\:\:")))))

    assert [(row.transition, row.to_state, row.flow_run_id) for row in await read(transitions)] == [
        ("unknown", "issuing", "run-2"),
        ("issue", "issued", "run-2"),
    ]
    assert [(row.setting, row.value) for row in await read(settings)] == [("locale", "de")]


def issued_at(moment: datetime) -> dict[str, Any]:
    """What a row has when a badge was recorded, with the name of the transition."""
    recorded = {"credly_badge_id": "badge-1", "recorded_at": moment, "claim": None, "lease_until": None}
    return recorded | {"state": IssuanceState.ISSUED, "transition": Transition.ISSUE, "moves": 1, "updated_at": moment}
