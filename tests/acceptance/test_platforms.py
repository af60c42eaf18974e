"""Ready-made mappings on the platforms' own schemas: from rows of Moodle and Open edX to badges at the stand-in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from settings import settings
from tests.support.databases import sqlite_database
from tests.support.mariadb import administer, as_reader
from tests.support.platforms import MOODLE
from tests.support.running import run_reconcile as run
from tests.support.standin import Standin
from tests.support.world import TEMPLATE, World

NOW = datetime.now(UTC).replace(microsecond=0)
AWARDED = NOW - timedelta(hours=3)
WWWROOT = "https://moodle.example.org"


@pytest.fixture
async def ledger(
    migrated_file: Path, tmp_path: Path, standin: Standin, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """Laurel's own database, without any table of a platform's in use, connected to the stand-in."""
    async with sqlite_database(tmp_path, copy_of=migrated_file) as database:
        built = World(database=database, base_url=standin.base_url)
        built.configure(monkeypatch, DATABASE_URL=database.url, RETRY_DELAY="0.05", LOOKUP_GRACE="0")
        await built.put_token()
        yield built
    settings.cache_clear()


async def test_badges_that_moodle_issued_become_badges(
    mariadb: str, ledger: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    administer(
        mariadb,
        "CREATE DATABASE moodle CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
        "USE moodle",
        *MOODLE,
        "INSERT INTO mdl_course (id, category, fullname) VALUES (1, 0, 'Academy'), (2, 1, 'Welding')",
        "INSERT INTO mdl_user (id, firstname, lastname, email, deleted) VALUES"
        " (2, 'Ada', 'Lovelace', 'ada@example.org', 0),"
        " (10, 'Zoë', 'Müller-Łuk', 'zoe@example.org', 0), (11, 'Gone', 'Away', 'gone@example.org', 1)",
        "INSERT INTO mdl_badge (id, name) VALUES (7, 'Forklift'), (8, 'Not with Credly')",
        "INSERT INTO mdl_badge_issued (id, badgeid, userid, uniquehash, dateissued) VALUES "
        + ", ".join(
            f"({number}, {badge}, {user}, 'hash', {int(moment.timestamp())})"
            for number, (badge, user, moment) in enumerate(
                ((7, 2, AWARDED), (7, 10, AWARDED - timedelta(days=1)), (7, 11, AWARDED), (8, 2, AWARDED)), start=1
            )
        ),
    )
    ledger.configure(
        monkeypatch,
        PLATFORM_URL=as_reader(mariadb, "moodle"),
        MAPPING="moodle",
        MAPPING_PARAMETERS=f"wwwroot={WWWROOT}",
    )
    await ledger.connect("moodle")
    await ledger.enable("7", user_evidence=True, portal_evidence=True)

    state = await run()

    assert (state.name, state.message) == ("Completed", "2 issued")
    shown = {badge["issuer_earner_id"]: badge for badge in standin.badges()}
    assert sorted(shown) == ["10", "2"]
    zoe = shown["10"]
    assert (zoe["issued_to_first_name"], zoe["issued_to_last_name"]) == ("Zoë", "Müller-Łuk")
    assert zoe["recipient_email"] == "zoe@example.org"
    assert zoe["badge_template"]["id"] == TEMPLATE
    assert zoe["issued_at"] == (AWARDED - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert [(each["name"], each["value"]) for each in zoe["evidence"]] == [
        ("Zoë Müller-Łuk", f"{WWWROOT}/user/profile.php?id=10"),
        ("Academy", WWWROOT),
    ]
    assert shown["2"]["issued_at"] == AWARDED.strftime("%Y-%m-%dT%H:%M:%S.000Z")
