"""A model of all that can happen to Laurel: hypothesis puts random steps together, and what must hold is checked.

Laurel runs without Prefect's engine here, on a real database, against the stand-in over real HTTP.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import delete

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.platform.tables import AchievementAward, User, UserEmail
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.forms.inputs import Environment, IfBadgeExists, InvalidInput, WhenDataChanges
from rules.forms.settings import ConnectionForm, IntegrationForm
from settings import settings
from tasks.forms.connections import connect, disconnect
from tasks.forms.integrations import enable
from tasks.forms.manual_issue import ManualIssueForm
from tasks.forms.pausing import disable, pause
from tasks.runtime.run import Run
from tests.support import factories
from tests.support.interrupted import MortalDatabase, beside, until_killed
from tests.support.light_prefect import light_server
from tests.support.light_run import Clock, light_issue, light_plan, light_run, without_prefect
from tests.support.predicted import predicted
from tests.support.resent import sent_blindly
from tests.support.standin import Standin

# By portal: the organization that it is connected to at first, and another one.
ORGANIZATIONS = {
    "northwind": ("0a0a0a0a-0000-4000-8000-000000000001", "0a0a0a0a-0000-4000-8000-000000000003"),
    "southwind": ("0b0b0b0b-0000-4000-8000-000000000002", "0b0b0b0b-0000-4000-8000-000000000004"),
}
# By achievement: two templates of the first organization, and one of the other.
TEMPLATES = {
    "forklift": tuple(f"7e7e7e7e-0000-4000-8000-00000000000{number}" for number in (1, 2, 5)),
    "crane": tuple(f"7e7e7e7e-0000-4000-8000-00000000000{number}" for number in (3, 4, 6)),
}
PORTAL_OF = {"forklift": "northwind", "crane": "southwind"}
FOLLOWS_NAMES = "crane"  # its badges are replaced when a name is corrected
USERS = ("ada", "bob", "cy")
SECRETS = {
    f"model-{portal}-{place}": f"token-of-{portal}-{place}"
    for portal, organizations in ORGANIZATIONS.items()
    for place, _ in enumerate(organizations)
}
HTML = "<html><body>Bad Gateway</body></html>"
FAULTS: tuple[dict[str, Any], ...] = (
    {"action": "drop"},
    {"action": "drop_after"},
    {"action": "drop_after"},
    {"action": "cut_after"},
    {"action": "answer", "status": 500},
    {"action": "answer", "status": 503, "content": HTML},
    {"action": "answer", "status": 429, "headers": {"Retry-After": "90"}},
    {"action": "answer_after", "status": 502, "content": HTML},
    {"action": "answer_after", "status": 201, "content": ""},
    {"action": "answer_after", "status": 200, "content": '{"data": [], "metadata": {}}'},
    {"action": "expire_tokens"},
    {"action": "archive_templates"},
)
ISSUE, LOOK_UP = {"method": "POST", "path": "/badges$"}, {"method": "GET", "path": "/badges$"}
CALLS: tuple[dict[str, str], ...] = (ISSUE, ISSUE, LOOK_UP, {"method": "GET"}, {})

Pair = tuple[str, str]
Change = tuple[str, dict[str, Any]]

users = st.sampled_from(USERS)
achievements = st.sampled_from(tuple(TEMPLATES))
portals = st.sampled_from(tuple(ORGANIZATIONS))


def a_change(name: str, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Change]:
    """Return what draws a call of one of the machine's methods."""
    return st.tuples(st.just(name), st.fixed_dictionaries(values))


platform_changes = st.one_of(
    a_change("award", user=users, achievement=achievements, days_ago=st.sampled_from([0, 2, -1])),
    a_change("merge_cy_into_bob"),
    a_change("withdraw", which=st.integers(0, 20)),
    a_change("change_a_name", user=users, first_name=st.sampled_from(["", "Ada", "Augusta"])),
    a_change(
        "change_an_address",
        user=users,
        address=st.sampled_from(["no address", "{}@example.org", "{}.new@example.org"]),
    ),
)
peoples_changes = st.one_of(
    a_change(
        "enable", achievement=achievements, template=st.sampled_from([0, 1, 0, 1, 2]), days=st.sampled_from([0, 3])
    ),
    a_change("disable", achievement=achievements),
    a_change("pause_or_resume", achievement=achievements, paused=st.booleans()),
    a_change("connect", portal=portals, organization=st.sampled_from([0, 0, 1])),
    a_change("disconnect", portal=portals),
    a_change("issue_by_hand", user=users, achievement=achievements, replace=st.booleans()),
    a_change("issue_by_hand", user=users, achievement=achievements, replace=st.just(False)),
)
changes_at_credly = st.one_of(
    a_change("let_the_token_end", portal=portals, organization=st.integers(0, 1)),
    a_change("mend_token", portal=portals, organization=st.integers(0, 1)),
    a_change(
        "change_a_template",
        achievement=achievements,
        template=st.integers(0, 2),
        state=st.sampled_from(["active", "archived"]),
    ),
)
assumptions = st.fixed_dictionaries(
    {
        "list_lag_seconds": st.sampled_from([0, 30]),
        "filters_are_ignored": st.booleans(),
        "extra_fields": st.booleans(),
        "next_page_prefix": st.sampled_from(["/v1", "/api/v1"]),
        "rejected_blocks": st.booleans(),
        "expired_blocks": st.booleans(),
    }
)
newly_awarded = st.lists(st.tuples(users, achievements), max_size=4)
troubles = st.lists(
    st.builds(
        lambda fault, call, skip, count: {**fault, **call, "skip": skip, "count": count},
        st.sampled_from(FAULTS),
        st.sampled_from(CALLS),
        st.sampled_from([0, 0, 1, 3]),
        st.integers(1, 3),
    ),
    max_size=3,
)


@dataclass
class Surroundings:
    """What sequences share: the stand-in, how a new database is opened, and counts of what was tried."""

    standin: Standin
    open_database: Callable[[], AbstractAsyncContextManager[Database]]
    tried: Counter[str] = field(default_factory=Counter)


class LaurelMachine(RuleBasedStateMachine):
    """One sequence of steps. `surroundings` is set by a subclass."""

    surroundings: ClassVar[Surroundings]

    def __init__(self) -> None:
        super().__init__()
        gc.freeze()  # a collection then looks at what the sequence has made, not at all that is imported
        self.standin, self.tried = self.surroundings.standin, self.surroundings.tried
        self.clock, self.allowed = Clock(), set[Pair]()
        self.is_merged, self.had_both = False, set[str]()
        self._stack, self._runner = ExitStack(), asyncio.Runner()
        self._async_stack = AsyncExitStack()
        self._stack.enter_context(without_prefect())
        self.do(self._async_stack.enter_async_context(light_server(SECRETS)))
        self.database: Database = self.do(self._async_stack.enter_async_context(self.surroundings.open_database()))
        self.laurel = Run(settings(), self.database, self.clock.now)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def teardown(self) -> None:
        try:
            if self.tried_anything:
                self._settle()
        finally:
            self.do(self._async_stack.aclose())
            self._runner.close()
            self._stack.close()
            gc.unfreeze()

    tried_anything = False

    # What there is in the beginning

    @initialize(duplicates_allowed=st.booleans(), assumed=assumptions)
    def begin(self, duplicates_allowed: bool, assumed: dict[str, Any]) -> None:
        self.tried_anything = True
        self.tried["sequences"] += 1
        self.standin.control("POST", "reset")
        for portal, organizations in ORGANIZATIONS.items():
            for place, organization in enumerate(organizations):
                self.standin.seed(organizations=[{"id": organization, "name": f"{portal} {place}"}])
                self.mend_token(portal, place)
        for achievement, templates in TEMPLATES.items():
            for template in templates:
                row = {"id": template, "organization_id": _organization_of(template), "name": achievement}
                self.standin.seed(templates=[row | {"allow_duplicate_badges": duplicates_allowed}])
        self.standin.settings(**assumed)
        self.do(self._begin())

    async def _begin(self) -> None:
        for user in USERS:
            await factories.a_user(self.database, user)
        for achievement, portal in PORTAL_OF.items():
            await factories.an_achievement(self.database, achievement, portal=portal)
            await self._connect(portal, 0)
            await self._enable(achievement, TEMPLATES[achievement][0], days=0)

    # What happens on the platform, what people do, and what happens at Credly

    @rule(change=platform_changes)
    def change_the_platform(self, change: Change) -> None:
        self._do_change(change)

    @rule(change=peoples_changes)
    def let_a_person_do(self, change: Change) -> None:
        self._do_change(change)

    @rule(change=changes_at_credly)
    def change_credly(self, change: Change) -> None:
        self._do_change(change)

    def _do_change(self, change: Change) -> None:
        name, values = change
        getattr(self, name)(**values)

    def award(self, user: str, achievement: str, days_ago: int) -> None:
        if self.is_merged and user == "cy":
            return
        moment = self.now() - timedelta(days=days_ago)
        self.do(factories.an_award(self.database, user=user, achievement=achievement, awarded_at=moment))

    def merge_cy_into_bob(self) -> None:
        """As where a platform merges two accounts of one person: the one's awards become the other's."""
        if self.is_merged:
            return
        self.is_merged = True
        rows = self._rows(BadgeIssuance)
        self.had_both = {row.achievement_id for row in rows if row.user_id == "bob"}
        self.had_both |= {row.achievement_id for row in rows if row.user_id == "cy" and row.award_id is None}
        for award in [row for row in self._rows(AchievementAward) if row.user_id == "cy"]:
            self.do(factories.change(self.database, AchievementAward, award.id, user_id="bob"))
        self.do(factories.do(self.database, delete(table(UserEmail)).where(table(UserEmail).c.user_id == "cy")))
        self.do(factories.do(self.database, delete(table(User)).where(table(User).c.id == "cy")))

    def withdraw(self, which: int) -> None:
        standing = [row.id for row in self._rows(AchievementAward) if row.withdrawn_at is None]
        if standing:
            award = standing[which % len(standing)]
            self.do(factories.change(self.database, AchievementAward, award, withdrawn_at=self.now()))

    def change_a_name(self, user: str, first_name: str) -> None:
        self.do(factories.change(self.database, User, user, first_name=first_name))

    def change_an_address(self, user: str, address: str) -> None:
        for row in [row for row in self._rows(UserEmail) if row.user_id == user]:
            self.do(factories.change(self.database, UserEmail, row.id, address=address.format(user)))

    def enable(self, achievement: str, template: int, days: int) -> None:
        self.do(self._enable(achievement, TEMPLATES[achievement][template], days=days))

    def disable(self, achievement: str) -> None:
        self.do(self._ask(lambda: disable(self.laurel, achievement)))

    def pause_or_resume(self, achievement: str, paused: bool) -> None:
        self.do(self._ask(lambda: pause(self.laurel, achievement, paused=paused)))

    def connect(self, portal: str, organization: int) -> None:
        self.do(self._connect(portal, organization))

    def disconnect(self, portal: str) -> None:
        self.do(self._ask(lambda: disconnect(self.laurel, portal)))

    def issue_by_hand(self, user: str, achievement: str, replace: bool) -> None:
        self._allow()
        self.allowed.add((user, achievement))
        self.tried["asked for by hand"] += 1
        self.do(self._ask(lambda: light_issue(self.laurel, self._asked(user, achievement, replace=replace))))

    def let_the_token_end(self, portal: str, organization: int) -> None:
        self._put_token(portal, organization, expires_at="2020-01-01T00:00:00Z")

    def mend_token(self, portal: str, organization: int) -> None:
        self._put_token(portal, organization)

    def change_a_template(self, achievement: str, template: int, state: str) -> None:
        self.standin.template_state(TEMPLATES[achievement][template], state)

    # What Laurel does

    @rule(awards=newly_awarded, troubles=troubles)
    def run(self, awards: list[Pair], troubles: list[dict[str, Any]]) -> None:
        self._prepare(awards, troubles)
        self.tried["runs"] += 1
        self._plan_what_was_foretold()
        self.do(light_run(self.laurel))

    def _plan_what_was_foretold(self) -> None:
        known = [user for user in USERS if user != "cy" or not self.is_merged]
        pairs = [(user, achievement) for user in known for achievement in PORTAL_OF]
        told = [self.do(predicted(self.database, *pair, now=self.now())) for pair in pairs]
        self.do(light_plan(self.laurel))
        rows = self._rows(BadgeIssuance)
        for each in told:
            each.hold_against(rows)
            self.tried[f"predicted {each.cause}"] += 1

    @rule(awards=newly_awarded, troubles=troubles, writes=st.integers(0, 12), after=st.booleans())
    def run_and_die(self, awards: list[Pair], troubles: list[dict[str, Any]], writes: int, after: bool) -> None:
        self._prepare(awards, troubles)
        self.tried["crashes"] += self.do(self._mortal_run(writes, after=after))

    @rule(awards=newly_awarded, troubles=troubles, by_hand=st.lists(st.tuples(users, achievements), max_size=2))
    def several_at_once(self, awards: list[Pair], troubles: list[dict[str, Any]], by_hand: list[Pair]) -> None:
        self._prepare(awards, troubles)
        self.allowed |= set(by_hand)
        asked = [partial(light_issue, self.laurel, self._asked(*pair)) for pair in by_hand * 2]
        work = [light_run(self.laurel), light_run(self.laurel), *map(self._ask, asked)]
        self.tried["at once"] += len(work)
        self.do(_together(work))

    @rule(minutes=st.sampled_from([1, 6, 15, 120, 1500]))
    def let_time_pass(self, minutes: float) -> None:
        self.clock.moved += timedelta(minutes=minutes)
        self.standin.control("POST", "clock", {"seconds": self.clock.moved.total_seconds()})

    # What must hold

    @precondition(lambda self: self.tried_anything)
    @invariant()
    def nobody_has_a_badge_twice(self) -> None:
        live = Counter((badge["issuer_earner_id"], _achievement_of(badge)) for badge in self._live())
        assert all(count == 1 for count in live.values()), live
        for achievement in set(TEMPLATES) - self.had_both if self.is_merged else ():
            assert live["bob", achievement] + live["cy", achievement] <= 1, live

    def _settle(self) -> None:
        """Let everything be well in the end, and check that each award has its badge or a true reason."""
        self.tried.update({f"fault {name}": count for name, count in self.standin.faults()["happened"].items()})
        self.standin.control("DELETE", "faults")
        for portal in ORGANIZATIONS:
            self.mend_token(portal, 0)
            self.mend_token(portal, 1)
        for template in [template for templates in TEMPLATES.values() for template in templates]:
            self.standin.template_state(template, "active")
        for _ in range(4):
            self.let_time_pass(1500)
            self._allow()
            self.do(light_run(self.laurel))
        self.nobody_has_a_badge_twice()
        self._check_the_end()
        assert sent_blindly(self.standin.requests()) == []

    def _check_the_end(self) -> None:
        ledger, live = self._rows(BadgeIssuance), self._live()
        self.tried["badges"] += len(live)
        has_badge = {(badge["issuer_earner_id"], _achievement_of(badge)) for badge in live}
        sendable, waits = self._sendable(), self._waits()
        for pair in self._owed():
            row_states = [(row.state, row.reason) for row in ledger if (row.user_id, row.achievement_id) == pair]
            if pair[0] in sendable and pair[1] not in waits:
                known_as = {pair, ("cy", pair[1])} if self.is_merged and pair[0] == "bob" else {pair}
                assert known_as & has_badge, (pair, row_states)
        made = {(badge["issuer_earner_id"], _achievement_of(badge)) for badge in self.standin.badges()}
        assert made <= self.allowed, made - self.allowed
        issued = {row.credly_badge_id for row in ledger if row.state == "issued"}
        to_be_replaced = {row.replaces_badge_id for row in ledger if row.state not in ("issued", "cancelled")}
        unclear = {(row.user_id, row.badge_template_id) for row in ledger if row.unclear_at is not None}
        assert issued <= {badge["id"] for badge in live}, issued
        for badge in live:
            pair = (badge["issuer_earner_id"], badge["badge_template"]["id"])
            assert badge["id"] in issued | to_be_replaced or pair in unclear, badge
        assert all(row.state != "issuing" for row in ledger)
        self._check_names(ledger, live, sendable)

    def _check_names(self, ledger: list[Any], live: list[dict[str, Any]], sendable: set[str]) -> None:
        """A badge that could be replaced shows the name that the platform has, where the achievement is set so."""
        names = {row.id: row.first_name for row in self._rows(User)}
        shown = {badge["id"]: badge["issued_to_first_name"] for badge in live}
        templates = {row.achievement_id: row.badge_template_id for row in self._rows(CredlyIntegration)}
        lost = {(row.user_id, row.achievement_id) for row in self._rows(AchievementAward) if row.withdrawn_at}
        for row in ledger:
            pair = (row.user_id, row.achievement_id)
            present = row.state == "issued" and templates.get(row.achievement_id) == row.badge_template_id
            stays = row.achievement_id in self._waits() or pair in lost or row.user_id not in sendable
            if present and not stays and row.achievement_id == FOLLOWS_NAMES:
                assert shown[row.credly_badge_id] == names[row.user_id], pair
                self.tried["corrected names"] += names[row.user_id] == "Augusta"

    # Helpers

    def now(self) -> datetime:
        return self.clock.now()

    def _rows(self, model: Any) -> list[Any]:
        return list(self.do(factories.rows_of(self.database, model)))

    def _live(self) -> list[dict[str, Any]]:
        standing = [badge for badge in self.standin.badges() if not badge.get("replacement_badge_id")]
        return [badge for badge in standing if badge["state"] in ("pending", "accepted")]

    def _prepare(self, awards: list[Pair], troubles: list[dict[str, Any]]) -> None:
        for user, achievement in awards:
            self.award(user, achievement, 0)
        for trouble in troubles:
            self.standin.fault(**trouble)
        self._allow()

    def _allow(self) -> None:
        """Remember who may be given a badge by what is to run now."""
        self.allowed |= self._owed()

    def _owed(self) -> set[Pair]:
        since = {row.achievement_id: row.issue_since or row.enabled_at for row in self._rows(CredlyIntegration)}
        return {
            (award.user_id, award.achievement_id)
            for award in self._rows(AchievementAward)
            if award.withdrawn_at is None
            and award.achievement_id in since
            and since[award.achievement_id] <= award.awarded_at <= self.now()
        }

    def _sendable(self) -> set[str]:
        nameless = {row.id for row in self._rows(User) if not row.first_name}
        return {row.user_id for row in self._rows(UserEmail) if "@" in row.address} - nameless

    def _waits(self) -> set[str]:
        """Return the achievements that issue nothing now: paused, held, or of a portal that is not connected."""
        connected = {row.portal_id: row.organization_id for row in self._rows(CredlyConnection)}
        stopped = {
            row.achievement_id
            for row in self._rows(CredlyIntegration)
            if row.paused_at
            or row.held_at
            or connected.get(PORTAL_OF[row.achievement_id]) != _organization_of(row.badge_template_id)
        }
        return stopped | {name for name, portal in PORTAL_OF.items() if portal not in connected}

    def _put_token(self, portal: str, place: int, **changes: Any) -> None:
        organization = ORGANIZATIONS[portal][place]
        token = {"token": f"token-of-{portal}-{place}", "organization_id": organization, **changes}
        self.standin.seed(tokens=[token])

    def _asked(self, user: str, achievement: str, *, replace: bool = False) -> ManualIssueForm:
        wanted = IfBadgeExists.REPLACE if replace else IfBadgeExists.LEAVE
        return ManualIssueForm(user=user, achievement=achievement, if_badge_exists=wanted)

    async def _ask(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Do what a person asks for; what is refused with a sentence changes nothing."""
        try:
            await work()
        except InvalidInput:
            self.tried["refused with a sentence"] += 1

    async def _connect(self, portal: str, place: int) -> None:
        form = ConnectionForm(
            organization_id=ORGANIZATIONS[portal][place],
            token_block=f"model-{portal}-{place}",
            environment=Environment.OTHER,
            base_url=self.standin.base_url,
            calls_per_second=1000,
        )
        await self._ask(lambda: connect(self.laurel, portal, form))

    async def _enable(self, achievement: str, template: str, *, days: float) -> None:
        wish = IntegrationForm(
            badge_template_id=template,
            issue_since=self.now() - timedelta(days=days) if days else None,
            when_data_changes=WhenDataChanges.REPLACE if achievement == FOLLOWS_NAMES else WhenDataChanges.LEAVE,
        )
        await self._ask(lambda: enable(self.laurel, achievement, wish))

    async def _mortal_run(self, writes: int, *, after: bool) -> bool:
        mortal = MortalDatabase(self.database.url, writes_left=writes, dies_after=after)
        try:
            async with beside(self.database, mortal) as database:
                return await until_killed(light_run(Run(self.laurel.settings, database, self.clock.now)))
        finally:
            gc.collect()  # as the system closes what a dead process had open, with its locks


async def _together(work: list[Coroutine[Any, Any, Any]]) -> None:
    await asyncio.gather(*work)


def _organization_of(template: str) -> str:
    (achievement,) = [name for name, templates in TEMPLATES.items() if template in templates]
    return ORGANIZATIONS[PORTAL_OF[achievement]][int(template == TEMPLATES[achievement][2])]


def _achievement_of(badge: dict[str, Any]) -> str:
    return next(name for name, templates in TEMPLATES.items() if badge["badge_template"]["id"] in templates)
