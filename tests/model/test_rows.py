"""Whatever is in a row of the platform: it gets the right reason, and its neighbours go out."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from models.columns import is_key
from models.database import Database
from models.diagnostics.check import find_problems
from models.ledger.tables import BadgeIssuance
from models.migrate import migrate
from models.platform.tables import platform_metadata
from rules.datasets import Dataset, FileFormat
from rules.forms.inputs import InvalidInput
from rules.forms.period import Span
from settings import settings as configured
from tasks.forms.explain import explain_badge
from tasks.forms.overview import integrations_overview
from tasks.issuing.preview import _previews, _row
from tasks.operations.health_check import _link_findings, _name_findings
from tasks.operations.reports import export_file, report_file
from tasks.runtime.run import Run, current_run
from tests.support.databases import ENGINES, empty_postgresql_database, sqlite_database
from tests.support.factories import a_connection, an_integration, rows_of
from tests.support.light_prefect import light_server
from tests.support.light_run import Clock, light_plan, light_run, without_prefect
from tests.support.predicted import predicted
from tests.support.standin import Standin
from tests.support.world import BLOCK, ORGANIZATION, SEED, TEMPLATE, TOKEN

pytestmark = pytest.mark.usefixtures("unmeasured")
NOW = datetime.now(UTC)
NEIGHBOURS = 5
BOUNDED = settings(
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=False,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


Value = Any
Case = tuple[tuple[str, str], Value]


@dataclass(frozen=True)
class Undecodable:
    """Bytes that SQLite stores as text."""

    stored: bytes


@dataclass(frozen=True)
class Failing:
    """A value for which an expression of the view ends each statement that reads it with an error."""


Outcome = tuple[str | None, str | None]
ISSUED: Outcome = ("issued", None)
NONE: Outcome = (None, None)
IDS: set[Outcome] = {ISSUED, NONE, ("failed", "user_id_not_usable"), ("failed", "user_missing")}
NAMES: set[Outcome] = {ISSUED, *(("failed", f"name_{what}") for what in ("missing", "too_long", "unreadable"))}
DATES: set[Outcome] = {ISSUED, ("failed", "award_date_unusable"), ("pending", "awarded_in_future"), NONE}
# By column: what may become of the award whose row, user or evidence has such a value.
COLUMNS: dict[tuple[str, str], set[Outcome]] = {
    ("users", "id"): IDS,
    ("users", "first_name"): NAMES,
    ("users", "last_name"): NAMES,
    ("users", "profile_url"): {ISSUED},
    ("user_emails", "id"): {ISSUED, ("failed", "email_malformed")},
    ("user_emails", "user_id"): {ISSUED, ("failed", "no_primary_email")},
    ("user_emails", "address"): {ISSUED, ("failed", "no_primary_email"), ("failed", "email_malformed")},
    ("achievement_awards", "id"): {ISSUED, NONE},
    ("achievement_awards", "achievement_id"): {NONE},
    ("achievement_awards", "user_id"): IDS,
    ("achievement_awards", "awarded_at"): DATES,
    ("achievement_awards", "withdrawn_at"): DATES,
    ("achievement_awards", "company_id"): {ISSUED},
    ("achievement_awards", "project_id"): {ISSUED},
    **{(table, column): {ISSUED} for table in ("companies", "projects") for column in ("id", "name", "url")},
    **{("portals", column): {ISSUED} for column in ("id", "name", "url")},
    **{("achievements", column): {ISSUED} for column in ("id", "portal_id", "name")},
}
MOMENTS = {("achievement_awards", "awarded_at"), ("achievement_awards", "withdrawn_at")}
# Whose expression cannot fail for one row alone: rows are searched by it.
SEARCHED_BY = {
    *((table, "id") for table in ("users", "companies", "projects", "portals", "achievements")),
    ("user_emails", "user_id"),
    ("achievement_awards", "achievement_id"),
    ("achievement_awards", "user_id"),
}
# By column: what corrects it.
CORRECTED = {
    ("users", "first_name"): "'Ada'",
    ("users", "last_name"): "'Muster'",
    ("user_emails", "address"): "user_id || '@example.org'",
    ("achievement_awards", "awarded_at"): f"'{NOW - timedelta(days=2):%Y-%m-%d %H:%M:%S}'",
    ("achievement_awards", "withdrawn_at"): "NULL",
}
TEXTS: tuple[Value, ...] = (
    "",
    " \t",
    "undefined",
    "(N/A)",
    "a" * 5000,
    "O&#39;Brien",
    "MÃ¼ller",
    "\u202eevil",
    "\u3164",
    "a|b",
    "🏴",
    "%s",
)
TEXTS = (
    *TEXTS,
    "http://u:p@x.org",
    "http://[::1",
    "javascript:alert(1)",
    "a\x01b",
    "\ufffd",
    "\uffff",
    "a@b",
    "\u2028",
)
BYTES: tuple[Value, ...] = (
    None,
    5,
    5.5,
    9**18,
    b"\xff",
    b"Ada",
    b"",
    Undecodable(b"A\xffB"),
    Undecodable(b"\xed\xa0\x80"),
    "a\x00b",
)
NO_DATES: tuple[Value, ...] = (
    "",
    "garbage",
    "2026-02-30 00:00:00",
    "10000-01-01 00:00:00",
    "1700000000",
    "02.11.2026",
    "-4712-01-01 00:00:00",
)
SQLITE_DATES: tuple[Value, ...] = (*NO_DATES, "0001-01-01T00:00:00+14:00", "2026-11-02 08:00:00 Europe/Berlin", *BYTES)
POSTGRESQL_DATES: tuple[Value, ...] = (
    None,
    "infinity",
    "-infinity",
    "0044-03-15 BC",
    "10000-01-01+00",
    "294276-12-31+00",
    "0001-01-01+14",
)
POSTGRESQL_DATES = (*POSTGRESQL_DATES, "9999-12-31 23:59:59-12", "2999-01-01+00", "1900-01-01+00")


def named(engine: str) -> list[Case]:
    """Each value that is known to have done harm once, in each column."""
    dates = SQLITE_DATES if engine == "sqlite" else POSTGRESQL_DATES
    texts = (*TEXTS, *BYTES) if engine == "sqlite" else (*TEXTS, None)
    values = {column: dates if column in MOMENTS else texts for column in COLUMNS}
    # Where nothing but the badge can become of any value, some of the values are enough.
    failing: list[Case] = [(column, Failing()) for column in COLUMNS if column not in SEARCHED_BY]
    return failing + [
        (column, value)
        for column, every in values.items()
        for value in (every[::3] if COLUMNS[column] == {ISSUED} else every)
    ]


def cases(engine: str) -> st.SearchStrategy[list[Case]]:
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0" if engine == "postgresql" else "")
    texts: st.SearchStrategy[Value] = st.text(characters, max_size=80)
    moments: st.SearchStrategy[Value] = st.sampled_from(POSTGRESQL_DATES) | st.datetimes().map(str)
    if engine == "sqlite":
        anything = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.binary(max_size=40)
        stored = texts | anything | st.binary(max_size=40).map(Undecodable)
        texts, moments = stored, stored | st.datetimes().map(str) | st.sampled_from(SQLITE_DATES)
    each = [
        st.tuples(
            st.just(column),
            (moments if column in MOMENTS else texts) | (st.nothing() if column in SEARCHED_BY else st.builds(Failing)),
        )
        for column in COLUMNS
    ]
    return st.lists(st.one_of(each), min_size=20, max_size=40)


@pytest.fixture(params=ENGINES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AbstractAsyncContextManager[Database]]:
    if request.param == "sqlite":
        file = request.getfixturevalue("migrated_file")
        yield sqlite_database(tmp_path, copy_of=file)
    else:
        yield empty_postgresql_database(request.getfixturevalue("postgresql"))


def _with_any_values(connection: Connection) -> None:
    """Replace the platform's tables by views on those of a platform that checks nothing."""
    platform_metadata.drop_all(connection)
    on_sqlite = connection.dialect.name == "sqlite"
    for table in platform_metadata.sorted_tables:
        types = {column.name: "text" for column in table.c}
        types |= {column: "timestamptz" for of, column in MOMENTS if of == table.name}
        types |= {"is_primary": "boolean"} if "is_primary" in types else {}
        columns = ", ".join(name if on_sqlite else f"{name} {type_}" for name, type_ in types.items())
        connection.execute(text(f"CREATE TABLE stored_{table.name} ({columns}, fails text)"))
        shown = [
            f"CASE WHEN fails = '{name}' THEN {_failing(type_, on_sqlite=on_sqlite)} ELSE {name} END AS {name}"
            if type_ != "boolean" and (table.name, name) not in SEARCHED_BY
            else name
            for name, type_ in types.items()
        ]
        connection.execute(text(f"CREATE VIEW {table.name} AS SELECT {', '.join(shown)} FROM stored_{table.name}"))


def _failing(type_: str, *, on_sqlite: bool) -> str:
    if on_sqlite:
        return "json(fails)"
    return f"CAST(fails AS {type_})" if type_ != "text" else "CAST(CAST(fails AS integer) AS text)"


@dataclass
class Platform:
    """A platform whose rows a test fills, with Laurel beside it."""

    database: Database
    clock: Clock

    @property
    def run(self) -> Run:
        return Run(configured(), self.database, self.clock.now)

    def put(self, connection: Connection, table: str, **values: Value) -> None:
        failing = next((name for name, value in values.items() if isinstance(value, Failing)), None)
        values = {name: None if name == failing else value for name, value in values.items()} | {"fails": failing}
        expressions = []
        for name, value in values.items():
            cast = isinstance(value, Undecodable)
            as_moment = (table, name) in MOMENTS and connection.dialect.name == "postgresql"
            expressions.append(
                f"CAST(:{name} AS {'timestamptz' if as_moment else 'text'})" if cast or as_moment else f":{name}"
            )
        stored = {name: value.stored if isinstance(value, Undecodable) else value for name, value in values.items()}
        inserted = f"INSERT INTO stored_{table} ({', '.join(values)}) VALUES ({', '.join(expressions)})"
        connection.execute(text(inserted), stored)

    def person(self, connection: Connection, number: int, case: Case | None) -> None:
        """Add a person with an award and evidence, of whom one value is as given."""
        (table, column), value = case or (("", ""), None)
        user, company, project = f"u{number}", f"c{number}", f"p{number}"
        awarded_at = f"{NOW - timedelta(hours=1):%Y-%m-%d %H:%M:%S}"
        award = {"id": f"a{number}", "achievement_id": "forklift", "user_id": user, "awarded_at": awarded_at}
        rows: dict[str, dict[str, Value]] = {
            "users": {"id": user, "first_name": "Ada", "last_name": "Muster", "profile_url": "https://p.example.org"},
            "user_emails": {"id": user, "user_id": user, "address": f"{user}@example.org", "is_primary": True},
            "companies": {"id": company, "name": "Acme", "url": "https://c.example.org"},
            "projects": {"id": project, "name": "Bridge", "url": "https://p.example.org"},
            "portals": {"id": f"portal-{number}", "name": "N", "url": None},
            "achievements": {"id": f"achievement-{number}", "portal_id": "northwind", "name": "A"},
            "achievement_awards": {**award, "company_id": company, "project_id": project, "withdrawn_at": None},
        }
        if case:
            rows[table][column] = value
        if (table, column) == ("users", "id"):
            rows["user_emails"]["user_id"] = rows["achievement_awards"]["user_id"] = value
        for of, row in rows.items():
            self.put(connection, of, **row)

    async def fill(self, drawn: Sequence[Case]) -> None:
        def fill(connection: Connection) -> None:
            for table in platform_metadata.tables:
                connection.execute(text(f"DELETE FROM stored_{table}"))
            for table in ("issuance_attempts", "issuance_history", "badge_issuances", "planning_progress"):
                connection.execute(text(f"DELETE FROM {table}"))
            self.put(connection, "portals", id="northwind", name="Northwind", url="https://n.example.org")
            self.put(connection, "achievements", id="forklift", portal_id="northwind", name="Forklift")
            for number, case in enumerate(drawn):
                self.person(connection, number, case)
            for number in range(NEIGHBOURS):
                self.person(connection, -1 - number, None)

        await self.database.write(fill)

    async def outcomes(self) -> dict[str, Outcome]:
        rows = await rows_of(self.database, BadgeIssuance)
        return {row.user_id: (row.state.value, row.reason and row.reason.value) for row in rows}

    async def correct(self, drawn: Sequence[Case]) -> list[int]:
        """Correct what can be corrected, and return the numbers of the persons concerned."""
        concerned = [number for number, (column, _) in enumerate(drawn) if column in CORRECTED]

        def correct(connection: Connection) -> None:
            for table, column in CORRECTED:
                value = CORRECTED[table, column]
                cast = f"CAST({value} AS timestamptz)" if connection.dialect.name == "postgresql" else value
                right = cast if (table, column) in MOMENTS else value
                connection.execute(text(f"UPDATE stored_{table} SET {column} = {right}, fails = NULL"))

        await self.database.write(correct)
        self.clock.moved += timedelta(hours=1)
        return concerned


@asynccontextmanager
async def platform(opened: AbstractAsyncContextManager[Database], standin: Standin) -> AsyncIterator[Platform]:
    async with light_server({BLOCK: TOKEN}), opened as database:
        await migrate(database)
        await database.write(_with_any_values)
        await a_connection(
            database, organization_id=ORGANIZATION, base_url=standin.base_url, calls_per_second=1000, token_block=BLOCK
        )
        evidence: dict[str, Any] = {f"{kind}_evidence": True for kind in ("user", "company", "project", "portal")}
        since = NOW - timedelta(days=400)
        await database.write(_put_forklift)
        await an_integration(database, badge_template_id=TEMPLATE, enabled_at=since, **evidence)
        yield Platform(database, Clock())


def _put_forklift(connection: Connection) -> None:
    connection.execute(
        text("INSERT INTO stored_achievements (id, portal_id, name) VALUES ('forklift', 'northwind', 'F')")
    )


def user_of(number: int, case: Case) -> Value:
    own = case[0] in (("users", "id"), ("achievement_awards", "user_id"))
    return case[1] if own else f"u{number}"


async def hold(world: Platform, drawn: Sequence[Case], folder: Path) -> None:
    await world.fill(drawn)
    current_run.set(world.run)
    shown: list[Any] = [[_row(each) for each in await _previews(world.run, None, limit=10_000)]]
    users = [user for user in map(user_of, range(len(drawn)), drawn) if is_key(user)]
    told = [await predicted(world.database, user, "forklift", now=world.run.now()) for user in users[::3]]
    await light_plan(world.run)
    planned = await rows_of(world.database, BadgeIssuance)
    for each in told:
        each.hold_against(planned)
    for _ in range(2):
        await light_run(world.run)

    found = await world.outcomes()
    assert [found.get(f"u{-1 - number}") for number in range(NEIGHBOURS)] == [ISSUED] * NEIGHBOURS
    wrong = []
    for number, case in enumerate(drawn):
        user = user_of(number, case)
        outcome = found.get(user, NONE) if isinstance(user, str) else NONE
        if outcome not in COLUMNS[case[0]]:
            wrong.append((case, outcome))
        if isinstance(user, str) and number % 5 == 0:
            try:
                explained = await explain_badge(world.run, user, "forklift")
            except InvalidInput as unknown:  # of a key that the ledger cannot have
                shown.append(str(unknown))
            else:
                shown.append([explained.sentence, explained.page])
    assert wrong == []

    allowed = replace(world.run, settings=world.run.settings.model_copy(update={"reports_folder": folder}))
    exported = {"dataset": Dataset.ISSUANCES, "file_format": FileFormat.CSV, "personal_data": True}
    await export_file(allowed, days=(None, None), folder="", **exported)
    report = await report_file(allowed, span=next(iter(Span)), days=(None, None), portal="", folder="")
    overview = await integrations_overview(world.run, "")
    shown += [report.page, overview.page, [vars(each) for each in await find_problems(world.database)]]
    shown += [vars(each) async for each in _link_findings(world.run)]
    shown += [vars(each) async for each in _name_findings(world.run)]
    json.dumps(shown, ensure_ascii=False, default=str).encode()  # as Prefect sends it

    concerned = await world.correct(drawn)
    for _ in range(2):
        await light_run(world.run)
    healed = await world.outcomes()
    assert {number: healed.get(f"u{number}") for number in concerned if healed.get(f"u{number}") != ISSUED} == {}


def test_whatever_is_in_a_row_its_neighbours_go_out(
    opened: AbstractAsyncContextManager[Database],
    shared_standin: Standin,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    engine = request.node.callspec.params["opened"]

    with asyncio.Runner() as runner, without_prefect():
        building = platform(opened, shared_standin)
        world = runner.run(building.__aenter__())
        try:

            @BOUNDED
            @example(named(engine))
            @given(cases(engine))
            def holds(drawn: list[Case]) -> None:
                shared_standin.control("POST", "reset")
                shared_standin.seed(**SEED)
                runner.run(hold(world, drawn, tmp_path))

            holds()
        finally:
            runner.run(building.__aexit__(None, None, None))
