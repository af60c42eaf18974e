"""An upgrade of a ledger that is in use, from the first generation's tables on: what it keeps and what it decides."""

from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from models.database import Database
from models.errors import NotUsable
from models.migrate import migrate, newest_revision
from models.revision import REVISION, check_revision
from tests.support.migrating import go_to, insert_issuance, rows_of

EARLIER, PRESENT = "template-0", "template-1"
UNCLEAR = {"unclear_at": "2026-11-02 09:00:00", "reason": "answer_unclear"}
ISSUED = {"credly_badge_id": "badge-{}", "recorded_at": "2026-11-02 10:00:00", "flow_run_id": "run-1"}
FIRST_GENERATION = "0003"


async def insert(database: Database, user: str, state: str, template: str = PRESENT, **values: str) -> None:
    held = {"claim": "run-0"} if state == "issuing" else {}
    given = {"blocked": "token_refused", "failed": "name_missing", "cancelled": "integration_removed"}
    reason = {"reason": given[state]} if state in given else {}
    badge = {name: value.format(f"{user}-{template}") for name, value in ISSUED.items()} if state == "issued" else {}
    await insert_issuance(database, user=user, state=state, template=template, **(held | reason | badge | values))


async def connect(database: Database) -> None:
    await database.write(
        Connection.execute,
        text(
            "INSERT INTO credly_connections (portal_id, organization_id, token_block, base_url, calls_per_second,"
            " missing_name, connected_at) VALUES ('p', 'o', 'b', 'https://credly.example.org', 3, '',"
            " '2026-11-02 08:00:00')"
        ),
    )


async def ledger(database: Database, columns: str) -> dict[tuple[str, str], Any]:
    query = f"SELECT user_id, badge_template_id, {columns} FROM badge_issuances ORDER BY id"
    return {(row[0], row[1]): tuple(row[2:]) for row in await rows_of(database, query)}


@pytest.fixture
async def first_generation(empty_database: Database) -> Database:
    await go_to(empty_database, FIRST_GENERATION)
    return empty_database


async def test_every_state_is_kept_and_the_history_begins_with_what_is_known(first_generation: Database) -> None:
    await connect(first_generation)
    for state in ("pending", "issuing", "issued", "blocked", "failed", "cancelled"):
        await insert(first_generation, state, state)
    before = await ledger(first_generation, "state, reason, credly_badge_id, claim, updated_at")

    await go_to(first_generation, "head")

    assert await ledger(first_generation, "state, reason, credly_badge_id, claim, updated_at") == before
    query = (
        "SELECT i.user_id, h.from_state, h.to_state, h.reason, h.flow_run_id FROM issuance_history h"
        " JOIN badge_issuances i ON i.id = h.issuance_id WHERE h.reconstructed ORDER BY h.id"
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    for user, *entry in await rows_of(first_generation, query):
        found.setdefault(user, []).append(tuple(entry))
    entered = (None, "pending", None, None)
    assert found == {
        "pending": [entered],
        "issuing": [entered],
        "issued": [entered, (None, "issued", None, "run-1")],
        "blocked": [entered, (None, "blocked", "token_refused", None)],
        "failed": [entered, (None, "failed", "name_missing", None)],
        "cancelled": [entered, (None, "cancelled", "integration_removed", None)],
    }


# Two rows of one user and achievement, from when a template's change made another one: the row that stands then.
PAIRS: list[Any] = [
    (("issued", {}), ("pending", {}), EARLIER, "cancelled"),
    (("pending", UNCLEAR), ("pending", {}), EARLIER, "cancelled"),
    (("issuing", {}), ("blocked", {}), EARLIER, "cancelled"),
    (("cancelled", {}), ("pending", {}), PRESENT, "cancelled"),
    (("cancelled", {"unclear_at": "2026-11-02 09:00:00"}), ("pending", {}), EARLIER, "cancelled"),
    (("issued", {}), ("issued", {}), PRESENT, "issued"),
    (("pending", {"replaces_badge_id": "badge-0"}), ("failed", {}), EARLIER, "failed"),
    (("cancelled", {}), ("cancelled", {}), PRESENT, "cancelled"),
]


@pytest.mark.parametrize(("first", "second", "stands", "other"), PAIRS)
async def test_of_rows_of_several_templates_one_stands_and_none_is_lost(
    first_generation: Database, first: Any, second: Any, stands: str, other: str
) -> None:
    await connect(first_generation)
    for (state, values), template in ((first, EARLIER), (second, PRESENT)):
        await insert(first_generation, "ada", state, template, **values)

    await go_to(first_generation, "head")

    rows = await ledger(first_generation, "former, state")
    assert {template: bool(former) for (_, template), (former, _) in rows.items()} == {
        EARLIER: stands != EARLIER,
        PRESENT: stands != PRESENT,
    }
    assert [state for former, state in rows.values() if former] == [other]


async def test_an_outstanding_call_is_settled_where_its_portal_is_connected(first_generation: Database) -> None:
    await connect(first_generation)
    await insert(first_generation, "ada", "pending", **UNCLEAR)
    await insert(first_generation, "bob", "issuing")
    await insert(first_generation, "cy", "pending")
    await insert(first_generation, "dee", "failed", reason="refused_by_credly", unclear_at="2026-11-02 09:00:00")

    await go_to(first_generation, "head")

    ((organization, base_url),) = await rows_of(
        first_generation, "SELECT organization_id, base_url FROM credly_organizations"
    )
    assert (organization, base_url) == ("o", "https://credly.example.org")
    sent_to = await ledger(first_generation, "sent_to")
    assert {user: number for (user, _), (number,) in sent_to.items()} == {"ada": 1, "bob": 1, "cy": None, "dee": None}


async def test_a_worker_of_the_earlier_version_goes_on_and_its_results_are_kept(first_generation: Database) -> None:
    """Its statements, as they were: it knows neither the new columns nor the one row for a pair."""
    await connect(first_generation)
    await insert(first_generation, "ada", "issuing")
    await insert(first_generation, "bob", "pending")
    await go_to(first_generation, "head")
    run = {"ada": "claim = NULL, lease_until = NULL", "bob": "claim = 'old', lease_until = '2026-11-02 09:00:00'"}
    record = "state = 'issued', credly_badge_id = 'badge-1', recorded_at = '2026-11-02 10:00:00', flow_run_id = 'run-9'"

    for statement in (
        f"UPDATE badge_issuances SET {record}, {run['ada']} WHERE user_id = 'ada'",
        f"UPDATE badge_issuances SET state = 'issuing', {run['bob']} WHERE user_id = 'bob'",
        f"UPDATE badge_issuances SET state = 'pending', reason = 'not_reachable', {run['ada']} WHERE user_id = 'bob'",
    ):
        await first_generation.write(Connection.execute, text(statement))
    with pytest.raises(IntegrityError):  # which it does nothing about: ON CONFLICT DO NOTHING
        await insert(first_generation, "bob", "pending", "template-2")

    query = "SELECT transition, from_state, to_state, flow_run_id FROM issuance_history WHERE NOT reconstructed"
    assert [tuple(row) for row in await rows_of(first_generation, f"{query} ORDER BY id")] == [
        ("unknown", "issuing", "issued", "run-9"),
        ("unknown", "issuing", "pending", None),
    ]


def test_the_revision_that_runs_ask_for_is_the_newest_one() -> None:
    assert newest_revision() == REVISION


@pytest.mark.parametrize(("revision", "todo"), [("0006", "python -m scripts.setup_deployment"), ("0099", "update it")])
async def test_a_run_refuses_a_ledger_of_another_revision(empty_database: Database, revision: str, todo: str) -> None:
    await migrate(empty_database)
    await empty_database.read(check_revision)
    statement = text(f"UPDATE laurel_alembic_version SET version_num = '{revision}'")
    await empty_database.write(Connection.execute, statement)

    with pytest.raises(NotUsable, match=f"are of revision {revision}.*{todo}"):
        await empty_database.read(check_revision)
