"""A Credly that misbehaves: at each endpoint in a few hundred ways, and what is promised holds after every one.

By default some of each sort are run. `EVERY_MISBEHAVIOUR=1` runs every kind: where a call is for one person, a dozen
kinds together, each for another person. `EVERY_MISBEHAVIOUR='single:*:always'` runs the cases that fit the pattern.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from fnmatch import fnmatch
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from credly.session import Timeouts
from models.database import Database
from settings import settings
from tests.support.any_answer import AnyAnswer, any_answers, as_kind
from tests.support.databases import ENGINES, migrated_postgresql_database, sqlite_database
from tests.support.light_prefect import light_server
from tests.support.light_run import Clock, without_prefect
from tests.support.misbehaving_days import DAYS, OF_PEOPLE, Troubles
from tests.support.misbehaving_world import PEOPLE, SECRETS, academy
from tests.support.misbehaviour import all_kinds

pytestmark = pytest.mark.usefixtures("unmeasured")
WANTED = os.environ.get("EVERY_MISBEHAVIOUR", "")
HOW = ("always", "for-one", "once")

CHOSEN = [
    "issue:hangs:always",
    "issue:drips:always",
    "issue:continues-for-ever:for-one",
    "issue:answered-twice:always",
    "issue:422-envelope:once",
    "issue:429-after-enormous-unprocessed:for-one",
    "issue:odd-anothers-id:always",
    "issue-lagging:422-envelope:always",
    "issue-lagging:409-envelope:always",
    "issue-lagging:closed:always",
    "issue-many:401-empty-unprocessed:always",
    "issue-many:403-envelope-unprocessed:always",
    "issue-many:429-after-1-unprocessed:always",
    "issue-many:hangs-unprocessed:always",
    "issue-many:400-html-unprocessed:always",
    "list:list-without-end:always",
    "list:list-same-page-for-ever:always",
    "list:hangs:always",
    "list:404-envelope:always",
    "replace:404-envelope:always",
    "replace:odd-old-id:always",
    "replace:closed-unprocessed:once",
    "single:404-envelope:always",
    "single:odd-replaced-by-itself:always",
    "single:odd-another-badge:always",
    "single:odd-successor-long:always",
    "single:403-html:for-one",
    "organization:404-html:always",
    "organization:403-envelope:always",
    "organization:302-html:always",
    "organization:drips:always",
    "organization:429-after-0:always",
    "organization:200-body-empty:always",
    "template:403-envelope:always",
    "template:404-envelope:always",
    "template:hangs:always",
    "template:odd-state-revoked:always",
    "tokens:odd-moment-too-late:always",
    "tokens:200-body-deep:always",
    "revoke:404-envelope-unprocessed:always",
    "revoke:302-envelope-unprocessed:always",
    "revoke:odd-another-badge:always",
    "bulk:odd-id-long:always",
    "bulk:odd-state-long:always",
    "bulk:list-without-end:always",
    "bulk:list-next-page-long:always",
]
ANY = example_settings(
    max_examples=int(os.environ.get("ANY_EXAMPLES", "6")),
    derandomize=not os.environ.get("ANY_EXAMPLES"),
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
FEW = 3  # groups of kinds for each endpoint, unless all are wanted
SETTINGS = {
    "READ_TIMEOUT": "0.3",
    "THROTTLE_PAUSE_DEFAULT": "0.01",
    "THROTTLE_PAUSE_LIMIT": "0.5",
    "RETRIES": "0",
}


def _groups(endpoint: str) -> list[list[str]]:
    """Return all kinds of an endpoint in a fixed order that mixes their sorts, as many together as there are people.

    But for an answer that is right but for an id of somebody else, whose own answer is lost: nobody could tell.
    """
    names = sorted(
        set(all_kinds(endpoint)) - {"odd-anothers-id", "odd-200-anothers-id"},
        key=lambda name: sha256(name.encode()).digest(),
    )
    return [names[start : start + len(PEOPLE)] for start in range(0, len(names), len(PEOPLE))]


def _cases() -> Iterator[str]:
    if WANTED not in ("", "1"):
        alone = [f"{endpoint}:{name}:{how}" for endpoint in DAYS for name in all_kinds(endpoint) for how in HOW]
        together = [
            f"{endpoint}:group-{number}:each" for endpoint in OF_PEOPLE for number in range(len(_groups(endpoint)))
        ]
        yield from (case for case in [*alone, *together] if fnmatch(case, WANTED))
        return
    yield from CHOSEN
    for endpoint in OF_PEOPLE:
        count = len(_groups(endpoint)) if WANTED else FEW
        yield from (f"{endpoint}:group-{number}:each" for number in range(count))
    for endpoint in ("organization", "template", "tokens", "bulk") if WANTED else ():
        yield from (f"{endpoint}:{name}:always" for name in all_kinds(endpoint))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"LAUREL_{name}", value)
    monkeypatch.setattr("tasks.runtime.organization.Timeouts", partial(Timeouts, total=1.0))
    yield
    settings.cache_clear()


@pytest.mark.parametrize("case", list(_cases()))
async def test_what_is_promised_holds_whatever_credly_answers(
    case: str, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _hold(case, sqlite_database(tmp_path, copy_of=migrated_file), monkeypatch)


@pytest.mark.parametrize("endpoint", ["issue", "list", "replace", "single", "revoke", "bulk"])
async def test_on_postgresql_too_which_holds_fewer_values(
    endpoint: str, migrated_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [name for name in all_kinds(endpoint) if name.startswith(("odd-id", "odd-url", "odd-moment", "odd-state"))]
    how = "each" if endpoint in OF_PEOPLE else "always"
    for start in range(0, len(odd), len(PEOPLE) if how == "each" else 1) if WANTED else (0,):
        database = migrated_postgresql_database(migrated_address)
        await _hold(f"{endpoint}:{'+'.join(odd[start : start + len(PEOPLE)])}:{how}", database, monkeypatch)


async def _hold(case: str, opened: AbstractAsyncContextManager[Database], monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, named, how = case.split(":")
    kinds = all_kinds(endpoint)
    names = _groups(endpoint)[int(named.removeprefix("group-"))] if named.startswith("group-") else named.split("+")
    monkeypatch.setenv("LAUREL_LOOKUP_GRACE", "600" if endpoint == "issue-lagging" else "0")
    settings.cache_clear()
    clock = Clock()
    with without_prefect():
        async with light_server(SECRETS), opened as database, academy(database, clock) as laurels:
            await DAYS[endpoint](laurels, Troubles([kinds[name] for name in names], how))
    people = dict(zip(PEOPLE, names, strict=False)) if how == "each" else ""
    assert not laurels.wrong, "\n".join([case, str(people), *dict.fromkeys(laurels.wrong)])


def test_whatever_an_answer_is_no_row_is_stuck(
    migrated_file: Path, migrated_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUREL_LOOKUP_GRACE", "0")

    @ANY
    @given(st.sampled_from(ENGINES), st.sampled_from(sorted(DAYS)), st.lists(any_answers, min_size=12, max_size=12))
    def hold(engine: str, endpoint: str, answers: list[AnyAnswer]) -> None:
        if engine == "sqlite":
            opened = sqlite_database(tmp_path, copy_of=migrated_file)
        else:
            opened = migrated_postgresql_database(migrated_address)
        asyncio.run(_hold_any(endpoint, answers, opened))

    hold()


async def _hold_any(endpoint: str, answers: list[AnyAnswer], opened: AbstractAsyncContextManager[Database]) -> None:
    """An answer at random may be a lie about a badge, which nobody could tell; what holds nevertheless is checked."""
    settings.cache_clear()
    clock, how = Clock(), "each" if endpoint in OF_PEOPLE else "always"
    with without_prefect():
        async with light_server(SECRETS), opened as database, academy(database, clock) as laurels:
            await DAYS[endpoint](laurels, Troubles([as_kind(answer) for answer in answers], how))
            rows = await laurels.ledger()
    wrong = [each for each in laurels.wrong if each.startswith(("4", "5"))]
    assert not wrong, "\n".join(dict.fromkeys(wrong))
    assert {row.state for row in rows} <= {"issued", "failed", "pending", "blocked", "cancelled"}
    assert not [row.user_id for row in rows if row.state != "issued" and row.reason is None]
