"""Errors that quote a learner's data: none of it reaches Prefect, its storage, a log, the ledger or a report."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, NoReturn

import pytest
from sqlalchemy import Boolean, Column, Connection, Table, select, text
from sqlalchemy.exc import DBAPIError

from flows.explain import explain
from models.columns import UtcDateTime
from models.database import Database, Params
from models.metadata import laurel_metadata
from models.platform.tables import platform_metadata
from settings import settings
from tasks.issuing.dispatch import organizations_with_work
from tasks.issuing.plan import plan_issuances, requeue_corrected, sweep_everything
from tasks.runtime.run import Run, current_run
from tests.support.deployments import DEPLOYMENTS, flow_of
from tests.support.seen import LOGGERS, Seen, everything_kept, holds, see, until_written
from tests.support.world import BLOCK, ORGANIZATION, TEMPLATE, World

pytestmark = pytest.mark.usefixtures("unmeasured")

CANARY = "zyxomma-of-somebody"
PORTAL, ACHIEVEMENT, USER = {"portal": "northwind"}, {"achievement": "forklift"}, {"user": "ada"}
PARAMETERS: dict[str, dict[str, Any]] = {
    "reconcile": {"full": True},
    "issue-organization": {"portals": ["northwind"]},
    "connect-portal": PORTAL | {"organization_id": ORGANIZATION, "token_block": BLOCK, "environment": "other"},
    "disconnect-portal": PORTAL,
    "abandon-calls": PORTAL | {"organization_id": ORGANIZATION},
    "enable-credly": ACHIEVEMENT | {"badge_template_id": TEMPLATE},
    "pause-credly": ACHIEVEMENT,
    "resume-credly": ACHIEVEMENT,
    "release-credly": ACHIEVEMENT,
    "disable-credly": ACHIEVEMENT,
    "issue-badge": USER | ACHIEVEMENT,
    "issue-badges": {"rows": "ada,forklift\nbob,forklift"},
    "retry-failed": ACHIEVEMENT | {"preview": False},
    "explain": USER | ACHIEVEMENT,
    "export-user": USER,
    "erase-user": USER | {"reason": "By letter"},
    "list-integrations": {},
    "check": {},
    "export": {"personal_data": True},
    "report": {},
    "audit": {},
    "follow-badges": {},
    "refresh-menus": {},
    "clean-up": {},
    "revoke-withdrawn": {},
}


def unreadable(column: Column[Any]) -> str:
    """Return an expression for the column that PostgreSQL cannot compute, and whose value it quotes."""
    if column.primary_key or column.foreign_keys or isinstance(column.type, Boolean):
        return column.name
    # In hexadecimal, since the statement that creates the view is logged.
    value = f"convert_from('\\x{f'{CANARY} {column}'.encode().hex()}', 'UTF8') || id"
    return f"({value})::{'timestamptz' if isinstance(column.type, UtcDateTime) else 'integer::text'}"


@asynccontextmanager
async def unreadable_views(world: World, relations: Sequence[Table]) -> AsyncIterator[None]:
    """Put views with unreadable columns in the place of these tables until the block ends."""
    for one in relations:
        columns = ", ".join(f"{unreadable(column)} AS {column.name}" for column in one.c)
        await world.do(text(f"ALTER TABLE {one.name} RENAME TO {one.name}_before"))
        await world.do(text(f"CREATE VIEW {one.name} AS SELECT {columns} FROM {one.name}_before"))
    try:
        yield
    finally:
        for one in relations:
            await world.do(text(f"DROP VIEW {one.name}"))
            await world.do(text(f"ALTER TABLE {one.name}_before RENAME TO {one.name}"))


class FailingDatabase(Database):
    """Each read and write fails inside the run, with a text of the platform."""

    async def read(
        self, work: Callable[Concatenate[Connection, Params], Any], /, *args: Any, **kwargs: Any
    ) -> NoReturn:
        raise RuntimeError(f"{CANARY} in a read")

    async def write(
        self, work: Callable[Concatenate[Connection, Params], Any], /, *args: Any, **kwargs: Any
    ) -> NoReturn:
        raise RuntimeError(f"{CANARY} in a write")


async def every_flow(world: World) -> dict[str, Seen]:
    found = {}
    for name, parameters in PARAMETERS.items():
        base_url = {"base_url": world.base_url} if name == "connect-portal" else {}
        found[name] = await see(flow_of(name), **parameters, **base_url)
    return found


@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_no_error_takes_a_value_of_the_platform_to_prefect(
    any_world: World,
    prefect_server: str,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = any_world
    assert PARAMETERS.keys() == DEPLOYMENTS.keys()
    for logger in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=logger)
    for task in (plan_issuances, sweep_everything, requeue_corrected, organizations_with_work):
        monkeypatch.setattr(task, "retries", 0)
    reports = tmp_path / "reports"
    world.configure(monkeypatch, REPORTS_FOLDER=str(reports))
    await world.enable(user_evidence=True, company_evidence=True, project_evidence=True, portal_evidence=True)
    await world.award("ada", company_id="acme", project_id="bridge")

    seen = []
    for relation in platform_metadata.sorted_tables:
        async with unreadable_views(world, [relation]):
            seen.append(await see(explain, **USER, **ACHIEVEMENT))
    async with unreadable_views(world, platform_metadata.sorted_tables):
        for name in ("users", "user_emails", "achievement_awards"):
            with pytest.raises(DBAPIError):
                await world.read(text(f"SELECT * FROM {name}"))
        unreadable_everywhere = await every_flow(world)
    token = current_run.set(Run(settings(), FailingDatabase(world.database.url)))
    crashed = await every_flow(world)
    current_run.reset(token)

    assert [
        name for name, one in crashed.items() if "UnexpectedError: builtins.RuntimeError in " not in one.message
    ] == []
    # Rows whose values cannot be read are read around: what needs one of them fails, the scheduled flows go on.
    failed = [name for name, one in unreadable_everywhere.items() if one.name == "Failed"]
    assert sorted(failed) == ["enable-credly", "issue-badge"]
    runs = [*seen, *crashed.values(), *unreadable_everywhere.values()]
    log = await until_written([one.run_id for one in runs])
    shown = [f"{one.title} {one.message} {one.page} {one.links}" for one in runs]
    assert [line for line in [*log, *shown, *caplog.text.splitlines()] if CANARY in line] == []
    kept = list(everything_kept(prefect_server, reports))
    stored = [name for name, content in kept if "/storage/" in name and holds(content, "UnexpectedError")]
    assert {Path(name).stat().st_mode & 0o777 for name in stored} == {0o600}  # noqa: ASYNC240
    assert [name for name, content in kept if holds(content, CANARY)] == []
    ledger = [str(row) for one in laurel_metadata.sorted_tables for row in await world.read(select(one))]
    assert [row for row in ledger if CANARY in row] == []
