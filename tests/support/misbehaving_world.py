"""An academy of twelve people at the misbehaving server, what is done there, and which promises were broken."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import update

from models.database import Database
from models.ledger import claiming
from models.ledger.claiming import DueOrganization
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.operations import retry_failed
from models.operations.audit import ToBeRevoked
from models.operations.retry_failed import Selection
from models.platform.tables import AchievementAward
from models.setup.calls import CredlyCall
from models.setup.tables import CredlyConnection
from models.tables import table
from rules.forms.inputs import InvalidInput
from rules.ledger.reasons import CONNECTION_REASONS
from settings import settings
from tasks.forms.run_form import open_for_form
from tasks.operations.audit import Audited, audit_organization
from tasks.operations.revoke import revoke_withdrawn
from tasks.runtime.run import Run, current_run
from tests.support import factories
from tests.support.light_run import Clock, light_run
from tests.support.misbehaving_server import Exchange, MisbehavingServer, Trouble, serving
from tests.support.misbehaviour import Misbehaviour

NORTHWIND, SOUTHWIND = "0a0a0a0a-0000-4000-8000-000000000001", "0b0b0b0b-0000-4000-8000-000000000002"
TEMPLATES = {"forklift": "7e7e7e7e-0000-4000-8000-000000000001", "crane": "7e7e7e7e-0000-4000-8000-000000000002"}
TOKENS = {"northwind": "token-of-the-north", "southwind": "token-of-the-south"}
SECRETS = {f"misbehaving-{portal}": token for portal, token in TOKENS.items()}
PEOPLE = ("ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal", "ida", "jon", "kim", "lea")
AT_ANOTHER = ("mia", "ned")
PERSONAL = ("Firstnameof", "Lastnameof", "address-of-", *TOKENS.values())
LONGEST_RUN = 12.0  # seconds
TELLING = ("odd-", "list-", "wrong-type", "reason-no-text")  # kinds that answer a look-up nevertheless
POSTS = ("issue", "replace")


@dataclass
class Academy:
    """Laurel's database and the server, with what was found to be wrong so far."""

    database: Database
    server: MisbehavingServer
    clock: Clock
    wrong: list[str] = field(default_factory=list)
    at_work: str = ""

    @property
    def laurel(self) -> Run:
        """A run of Laurel that begins now."""
        return Run(settings(), self.database, self.clock.now)

    def find(self, promise: str, what: object) -> None:
        """Note that a promise is broken."""
        self.wrong.append(f"{promise}: {self.at_work}: {what}")

    async def build(self) -> None:
        for portal, organization, achievement in (
            ("northwind", NORTHWIND, "forklift"),
            ("southwind", SOUTHWIND, "crane"),
        ):
            await factories.an_achievement(self.database, achievement, portal=portal)
            enabled = self.clock.now() - timedelta(days=400)
            await factories.an_integration(
                self.database,
                achievement=achievement,
                badge_template_id=TEMPLATES[achievement],
                enabled_at=enabled,
                earned_again="replace",
                revoke_when_withdrawn=True,
            )
            await factories.a_connection(
                self.database,
                portal=portal,
                organization_id=organization,
                token_block=f"misbehaving-{portal}",
                base_url=self.server.base_url,
                calls_per_second=1000,
            )
        await self._add_users(*PEOPLE, *AT_ANOTHER)

    async def _add_users(self, *users: str) -> None:
        for user in users:
            names = {"first_name": f"Firstnameof{user}", "last_name": f"Lastnameof{user}"}
            await factories.a_user(self.database, user, email=f"address-of-{user}@example.org", **names)

    async def crowd(self, count: int) -> list[str]:
        """Add many people who are awarded."""
        users = [f"crowd-{number:03}" for number in range(count)]
        await self._add_users(*users)
        await self.award(*users)
        return users

    async def award(self, *users: str, achievement: str = "forklift") -> None:
        moment = self.clock.now() - timedelta(seconds=1)
        for user in users:
            await factories.an_award(self.database, user=user, achievement=achievement, awarded_at=moment)

    async def withdraw(self, *users: str) -> None:
        awards = table(AchievementAward)
        mine = awards.c.user_id.in_(users)
        await factories.do(self.database, update(awards).where(mine).values(withdrawn_at=self.clock.now()))

    async def end_tokens_soon(self) -> None:
        """As far as is known: then Credly is asked again."""
        await factories.do(self.database, update(table(CredlyConnection)).values(token_ends_at=self.clock.now()))

    async def ledger(self) -> list[Any]:
        return list(await factories.rows_of(self.database, BadgeIssuance))

    # What is done

    async def run(self, what: str, *, most: int = 0) -> None:
        """Run reconcile, and check what holds after each run."""
        with self._watched(what, most=most or 30 + 10 * len(PEOPLE)):
            await light_run(self.laurel)
        await self._check_ledger()
        self._check_never_twice()
        self._check_not_sent_blindly()

    async def revoke(self, what: str) -> None:
        """Revoke what is still to be revoked, as revoke-withdrawn does."""
        current_run.set(self.laurel)
        with self._watched(what, most=80):
            to_be_revoked = [
                ToBeRevoked(issuance_id=row.id, credly_badge_id=row.credly_badge_id, reason="", silent=False)
                for row in await self.ledger()
                if row.state == "issued" and row.user_id in PEOPLE and row.credly_state in (None, "pending", "accepted")
            ]
            async with self._asking():
                await revoke_withdrawn.fn(to_be_revoked)

    async def audit(self, what: str) -> None:
        current_run.set(self.laurel)
        with self._watched(what, most=60):
            async with self._asking() as due:
                await audit_organization.fn(Audited(due))

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[DueOrganization]:
        """Open the organization; that it cannot be asked is no defect, if it is put into words."""
        (due,) = await self.database.read(claiming.connected_organizations, portal_id="northwind")
        try:
            async with open_for_form(self.laurel, due):
                yield due
        except InvalidInput as mistake:
            if any(word in str(mistake) for word in PERSONAL):
                self.find("5 nothing personal", mistake)

    async def retry_failed(self) -> None:
        await self.database.write(retry_failed.retry, Selection(), limit=1000, now=self.clock.now())

    def later(self, **span: float) -> None:
        self.clock.moved += timedelta(**(span or {"days": 2}))

    def heal(self) -> None:
        self.server.troubles.clear()
        self.server.list_lag = timedelta(0)

    def trouble(self, endpoint: str, kind: Misbehaviour, **how: Any) -> None:
        self.server.troubles.append(Trouble(endpoint, kind, NORTHWIND, **how))

    # What must hold

    def _watched(self, what: str, *, most: int) -> "_Watch":
        self.at_work = what
        return _Watch(self, most)

    async def _check_ledger(self) -> None:
        rows = await self.ledger()
        stuck = [row.user_id for row in rows if row.state == "issuing"]
        if stuck:
            self.find("5 no row is left issuing", stuck)
        for model in (BadgeIssuance, IssuanceAttempt, CredlyCall):
            for row in await factories.rows_of(self.database, model):
                kept = [value for value in row if isinstance(value, str) and any(word in value for word in PERSONAL)]
                if kept:
                    self.find("5 nothing personal", (model.__name__, kept))
        others = {row.state for row in rows if row.achievement_id == "crane"}
        if others - {"issued"}:
            self.find("3 another organization is not affected", others)
        asked_for_itself = any(each.kind for each in self.server.asked("organization"))
        stopped = [row.user_id for row in rows if row.state == "blocked" and row.reason in CONNECTION_REASONS]
        if stopped and not asked_for_itself:
            self.find("3 only the organization itself stops it", stopped)

    def _check_never_twice(self) -> None:
        for user in sorted({row["issuer_earner_id"] for row in self.server.badges.values()}):
            live = self.server.live_of(user)
            if len(live) > 1:
                self.find("1 never two badges", (user, [row["id"] for row in live]))

    def _check_not_sent_blindly(self) -> None:
        for user in sorted({each.earner for each in self.server.asked(*POSTS)}):
            mine = [each for each in self.server.requests if each.earner == user]
            posts = [each for each in mine if each.endpoint in POSTS]
            for before, post in pairwise(posts):
                if before.kind and not any(_is_look_up(each, before, post) for each in mine):
                    self.find("2 nothing is sent again before a look-up", (user, before.kind))

    async def check_issued(self, users: Sequence[str], promise: str) -> None:
        """Each of these has exactly the badge that the ledger says."""
        rows = {row.user_id: row for row in await self.ledger()}
        for user in users:
            row, live = rows.get(user), self.server.live_of(user)
            if row is None or row.state != "issued":
                self.find(promise, (user, row and (row.state, row.reason)))
            elif [each["id"] for each in live] != [row.credly_badge_id]:
                self.find(promise, (user, row.credly_badge_id, [each["id"] for each in live]))

    async def end(self, *, may_fail: Sequence[str] = (), users: Sequence[str] = PEOPLE) -> None:
        """Let the server be well and time pass; then each of the users has one badge.

        Who `may_fail` may wait for retry-failed before.
        """
        self.heal()
        most = 30 + 10 * max(len(users), len(PEOPLE))
        for number in range(2):
            self.later()
            await self.run(f"healthy run {number + 1}", most=most)
        failed = {row.user_id: row.reason for row in await self.ledger() if row.state == "failed"}
        for user, reason in failed.items():
            if user not in may_fail:
                self.find("6 it goes out by itself", (user, reason))
        if failed:
            await self.retry_failed()
            for number in range(2):
                await self.run(f"run {number + 1} after retry-failed", most=most)
                self.later()
        await self.check_issued(users, "1 never one lost")
        await self.check_issued(AT_ANOTHER, "3 another organization is not affected")


def _is_look_up(each: Exchange, before: Exchange, post: Exchange) -> bool:
    is_answered = not each.kind or each.kind.startswith(TELLING)
    return each.endpoint in ("list", "single") and is_answered and before.ended < each.began < post.began


class _Watch:
    """Notes how long a run took, how many calls it made, what it logged, and how it ended."""

    def __init__(self, academy: Academy, most: int) -> None:
        self._academy, self._most = academy, most
        self._lines = _Lines()

    def __enter__(self) -> None:
        self._before, self._began = len(self._academy.server.requests), time.monotonic()
        logging.getLogger().addHandler(self._lines)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        logging.getLogger().removeHandler(self._lines)
        academy = self._academy
        academy.server.end(*academy.server.requests)
        calls, took = len(academy.server.requests) - self._before, time.monotonic() - self._began
        if calls > self._most:
            academy.find("4 calls are bounded", f"{calls} calls")
        if took > LONGEST_RUN:
            academy.find("4 duration is bounded", f"{took:.1f} s")
        if isinstance(error, Exception):
            academy.find("5 no run ends in a defect", f"{type(error).__name__}: {str(error)[:200]}")
        said = [line for line in [*self._lines.kept, str(error)] if any(word in line for word in PERSONAL)]
        if said:
            academy.find("5 nothing personal", said[:2])
        return isinstance(error, Exception)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(self.format(record))


@asynccontextmanager
async def academy(database: Database, clock: Clock) -> AsyncIterator[Academy]:
    """Build the academy, with all people awarded."""
    server = MisbehavingServer(
        now=clock.now,
        organizations={TOKENS["northwind"]: NORTHWIND, TOKENS["southwind"]: SOUTHWIND},
        templates={TEMPLATES["forklift"]: NORTHWIND, TEMPLATES["crane"]: SOUTHWIND},
    )
    async with serving(server):
        built = Academy(database, server, clock)
        await built.build()
        await built.award(*AT_ANOTHER, achievement="crane")
        yield built
