from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.credly_data import ARCHIVED, INTEGRATIONS, invented_id, settings_rows, token_block, tokens
from demo.fill import demo_base_url, demo_seed, fill, point_demo_at
from demo.platform_data import DOMAINS, NOT_CONNECTED, platform_rows
from models.database import Database
from models.platform.tables import Achievement, AchievementAward, Portal, Project, User, UserEmail
from models.setup.tables import CredlyConnection, CredlyIntegration
from rules.badge.evidence import EvidenceKind, LeftOut, fault_of_link
from rules.badge.request import LONGEST_TEXT, fault_of_email
from rules.badge.text import tidy
from rules.ledger.reasons import Reason
from tests.support.factories import a_connection, change, rows_of

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
BASE_URL = "http://127.0.0.1:8090/v1"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> dict[Any, list[Row]]:
    return platform_rows(now=NOW) | settings_rows(now=NOW, base_url=BASE_URL)


def test_the_platform_is_as_large_as_promised(rows: dict[Any, list[Row]]) -> None:
    promised = {Portal: 4, Achievement: 12, CredlyIntegration: 9, CredlyConnection: 3, User: 300, AchievementAward: 600}
    assert {model: len(rows[model]) for model in promised} == promised


def test_the_platform_is_the_same_every_time(rows: dict[Any, list[Row]]) -> None:
    assert platform_rows(now=NOW) | settings_rows(now=NOW, base_url=BASE_URL) == rows


def test_every_address_is_under_a_domain_kept_for_examples(rows: dict[Any, list[Row]]) -> None:
    for email in rows[UserEmail]:
        assert email["address"].lower().rstrip().endswith(DOMAINS)


def test_every_award_but_the_future_ones_is_of_the_last_thirty_days(rows: dict[Any, list[Row]]) -> None:
    moments = [award["awarded_at"] for award in rows[AchievementAward]]
    assert all(NOW - timedelta(days=30) <= moment for moment in moments)
    assert 1 <= sum(moment > NOW for moment in moments) <= 10


def test_awards_come_with_and_without_company_and_project(rows: dict[Any, list[Row]]) -> None:
    kinds = Counter(
        (award["company_id"] is not None, award["project_id"] is not None) for award in rows[AchievementAward]
    )
    assert len(kinds) == 4
    assert min(kinds.values()) >= 50


def test_names_are_in_many_scripts(rows: dict[Any, list[Row]]) -> None:
    names = "".join(f"{user['first_name']}{user['last_name']}" for user in rows[User])
    assert [letter for letter in "łßñЮπნفשሰप김王さร" if letter not in names] == []


def test_addresses_have_plus_parts_and_capitals(rows: dict[Any, list[Row]]) -> None:
    primary = [email["address"] for email in rows[UserEmail] if email["is_primary"]]
    assert sum("+" in address for address in primary) >= 10
    assert sum(address != address.lower() for address in primary) >= 10


@pytest.mark.parametrize("reason", [Reason.NO_PRIMARY_EMAIL, Reason.EMAIL_MALFORMED])
def test_an_issued_achievement_meets_each_fault_of_an_address(rows: dict[Any, list[Row]], reason: Reason) -> None:
    primary = {email["user_id"]: email["address"] for email in rows[UserEmail] if email["is_primary"]}
    assert any(fault_of_email(primary.get(user_id, "")) is reason for user_id in _users_of_issued(rows))


@pytest.mark.parametrize("part", ["first_name", "last_name"])
def test_an_issued_achievement_meets_a_blank_name(rows: dict[Any, list[Row]], part: str) -> None:
    users = {user["id"]: user for user in rows[User]}
    assert any(not tidy(users[user_id][part]) for user_id in _users_of_issued(rows))


def test_an_issued_achievement_meets_a_name_that_is_too_long(rows: dict[Any, list[Row]]) -> None:
    users = {user["id"]: user for user in rows[User]}
    assert any(len(tidy(users[user_id]["first_name"])) > LONGEST_TEXT for user_id in _users_of_issued(rows))


def test_users_and_projects_have_links_that_are_no_evidence(rows: dict[Any, list[Row]]) -> None:
    links = [row["url"] for row in rows[Project]] + [row["profile_url"] for row in rows[User]]
    faults = Counter(fault_of_link(link.strip()) for link in links if link and link.strip())
    assert faults[LeftOut.LINK_NOT_HTTP] >= 4
    assert any(not (row["url"] or "").strip() for row in rows[Project])


def test_some_achievements_are_awarded_twice_and_some_awards_withdrawn(rows: dict[Any, list[Row]]) -> None:
    pairs = Counter((award["achievement_id"], award["user_id"]) for award in rows[AchievementAward])
    assert sum(count > 1 for count in pairs.values()) == 6
    assert sum(award["withdrawn_at"] is not None for award in rows[AchievementAward]) == 3


def test_one_portal_is_not_connected_and_has_an_integration_that_is_awarded(rows: dict[Any, list[Row]]) -> None:
    portals = {row["portal_id"] for row in rows[CredlyConnection]}
    assert {row["id"] for row in rows[Portal]} - portals == {NOT_CONNECTED}
    of_portal = {row["id"] for row in rows[Achievement] if row["portal_id"] == NOT_CONNECTED}
    integrated = {row["achievement_id"] for row in rows[CredlyIntegration]}
    assert any(award["achievement_id"] in of_portal & integrated for award in rows[AchievementAward])


def test_one_template_is_archived_at_credly_and_awarded(rows: dict[Any, list[Row]]) -> None:
    templates = Counter(template["state"] for template in demo_seed()["templates"])
    assert templates == {"active": 9, "archived": 1}
    assert any(award["achievement_id"] == ARCHIVED for award in rows[AchievementAward])


def test_evidence_settings_go_from_none_to_all_four_with_static_texts() -> None:
    switched_on = [
        sum(bool(evidence.get(f"{kind}_evidence")) for kind in EvidenceKind) for *_, evidence in INTEGRATIONS
    ]
    assert {0, 4} <= set(switched_on)
    texts = {key for *_, evidence in INTEGRATIONS for key in evidence if key.endswith(("_name", "_description"))}
    assert len(texts) >= 4


def test_every_connection_and_template_is_known_to_the_stand_in(rows: dict[Any, list[Row]]) -> None:
    seed = demo_seed()
    organizations = {row["id"] for row in seed["organizations"]}
    connected = {row["organization_id"] for row in rows[CredlyConnection]}
    assert organizations - connected == {invented_id("organization", NOT_CONNECTED)}
    assert {row["token_block"] for row in rows[CredlyConnection]} == set(tokens())
    assert {row["badge_template_id"] for row in rows[CredlyIntegration]} <= {row["id"] for row in seed["templates"]}


async def test_the_platform_fits_into_the_tables(rows: dict[Any, list[Row]], tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'laurel.db'}")
    try:
        await fill(database, now=NOW, base_url=BASE_URL)
        for model, of_table in rows.items():
            assert len(await rows_of(database, model)) == len(of_table)
    finally:
        await database.dispose()


async def test_only_the_demos_connections_follow_the_stand_in_to_another_port(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'laurel.db'}")
    try:
        await fill(database, now=NOW, base_url=BASE_URL)
        own = await a_connection(database, portal=NOT_CONNECTED, token_block="own", base_url=BASE_URL)
        await point_demo_at(database, base_url="http://127.0.0.1:9999/v1")
        assert await demo_base_url(database) == "http://127.0.0.1:9999/v1"
        connected = await rows_of(database, CredlyConnection)
        assert [row.base_url for row in connected if row.id == own] == [BASE_URL]
        await change(database, CredlyConnection, own, token_block=token_block(NOT_CONNECTED))
        await point_demo_at(database, base_url="http://127.0.0.1:9998/v1")
        assert {row.base_url for row in await rows_of(database, CredlyConnection)} == {"http://127.0.0.1:9998/v1"}
    finally:
        await database.dispose()


def _users_of_issued(rows: dict[Any, list[Row]]) -> set[str]:
    """Users with an award of an achievement whose badge would be issued: connected, template active."""
    connected = {row["id"] for row in rows[Achievement] if row["portal_id"] != NOT_CONNECTED}
    issued = {row["achievement_id"] for row in rows[CredlyIntegration]} & connected - {ARCHIVED}
    return {award["user_id"] for award in rows[AchievementAward] if award["achievement_id"] in issued}
