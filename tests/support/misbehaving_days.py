"""What happens at the academy while Credly misbehaves at one endpoint, for each endpoint."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from tests.support.misbehaving_world import PEOPLE, Academy
from tests.support.misbehaviour import Misbehaviour, all_kinds

LOST, UNPROCESSED = all_kinds("issue")["closed"], all_kinds("issue")["closed-unprocessed"]
MADE, NOT_MADE = PEOPLE[:6], PEOPLE[6:]
CROWD = 60
MOST_FOR_MANY = 150  # calls of a run that gets nowhere, however many badges are due
MOST_WITHOUT_END = 1_100  # a hundred pages for each that is looked up at once
CALLS_FOR_A_BADGE = 5  # that was made, and is found after its answer


class Troubles:
    """What goes wrong, in one of four patterns.

    `always`: for everybody, in a whole run. `once`: the third call. `for-one`: each time for one person. `each`: as
    many kinds as there are people, one for each person.
    """

    def __init__(self, kinds: Sequence[Misbehaviour], how: str) -> None:
        self.kinds, self.how = kinds, how

    def put(self, academy: Academy, endpoint: str) -> None:
        first = self.kinds[0]
        match self.how:
            case "each":
                for user, kind in zip(PEOPLE, self.kinds, strict=False):
                    academy.trouble(endpoint, kind, earner=user)
            case "for-one":
                academy.trouble(endpoint, first, earner=PEOPLE[3])
            case "once":
                academy.trouble(endpoint, first, times=1, skip=2)
            case _:
                academy.trouble(endpoint, first)

    @property
    def may_fail(self) -> list[str]:
        """Who may be left failed: whose badge was refused in Credly's own form."""
        if self.how != "each":
            return list(PEOPLE) if self.kinds[0].in_own_form else []
        return [user for user, kind in zip(PEOPLE, self.kinds, strict=False) if kind.in_own_form]


async def issuing(academy: Academy, troubles: Troubles) -> None:
    """The call to issue is answered wrongly."""
    await academy.award(*PEOPLE)
    troubles.put(academy, "issue")
    await academy.run("run with trouble at POST issue")
    if troubles.how == "for-one":
        await academy.check_issued([*PEOPLE[:3], *PEOPLE[4:]], "3 other badges go out")
    await academy.end(may_fail=troubles.may_fail)


async def issuing_while_lists_lag(academy: Academy, troubles: Troubles) -> None:
    """The call to issue is answered wrongly, and for some minutes the list shows no new badge."""
    academy.server.list_lag = timedelta(minutes=4)
    await academy.award(*PEOPLE)
    troubles.put(academy, "issue")
    for minutes in (0, 2, 4):
        academy.later(minutes=minutes)
        await academy.run("run while the list lags")
    await academy.end(may_fail=troubles.may_fail)


async def issuing_for_many(academy: Academy, troubles: Troubles) -> None:
    """With many more badges, a run that gets nowhere makes hardly more calls."""
    crowd = await academy.crowd(CROWD)
    troubles.put(academy, "issue")
    most = MOST_FOR_MANY + (CROWD * CALLS_FOR_A_BADGE if troubles.kinds[0].processed else 0)
    await academy.run("run with trouble at POST issue", most=most)
    await academy.end(may_fail=crowd if troubles.may_fail else [], users=crowd)


async def looking_up(academy: Academy, troubles: Troubles) -> None:
    """The list is answered wrongly while badges are looked up, of which half were made."""
    await academy.award(*PEOPLE)
    await _lose_answers(academy, "issue")
    troubles.put(academy, "list")
    without_end = troubles.kinds[0].name == "list-without-end"
    await academy.run("run with trouble at the list", most=MOST_WITHOUT_END if without_end else 0)
    await academy.end()


async def _lose_answers(academy: Academy, endpoint: str) -> None:
    for kind, users in ((LOST, MADE), (UNPROCESSED, NOT_MADE)):
        for user in users:
            academy.trouble(endpoint, kind, earner=user, times=1)
    await academy.run(f"run in which the answers to {endpoint} are lost")
    academy.heal()
    academy.later(minutes=30)


async def _first_badges(academy: Academy) -> None:
    await academy.award(*PEOPLE)
    await academy.run("first run")
    academy.later()


async def replacing(academy: Academy, troubles: Troubles) -> None:
    """The call to replace is answered wrongly."""
    await _first_badges(academy)
    await academy.award(*PEOPLE)
    troubles.put(academy, "replace")
    await academy.run("run with trouble at replace")
    await academy.end(may_fail=troubles.may_fail)
    _check_replaced(academy)


async def reading_one(academy: Academy, troubles: Troubles) -> None:
    """A single badge is answered wrongly while it is not clear whether it was replaced."""
    await _first_badges(academy)
    await academy.award(*PEOPLE)
    await _lose_answers(academy, "replace")
    troubles.put(academy, "single")
    await academy.run("run with trouble at the single badge")
    await academy.end()
    _check_replaced(academy)


def _check_replaced(academy: Academy) -> None:
    for user in PEOPLE:
        made = len(academy.server.made_for(user))
        if made != 2:
            academy.find("1 replaced once", (user, made))


def _with_doubts(endpoint: str) -> "Day":
    """An endpoint that says what an answer to issue was about is itself answered wrongly."""

    async def day(academy: Academy, troubles: Troubles) -> None:
        await academy.end_tokens_soon()
        await academy.award(*PEOPLE)
        kinds = all_kinds("issue")
        for user, name in zip(
            PEOPLE, ("404-html", "403-envelope-unprocessed", "422-envelope-unprocessed"), strict=False
        ):
            academy.trouble("issue", kinds[name], earner=user)
        troubles.put(academy, endpoint)
        await academy.run(f"run with trouble at the {endpoint}")
        await academy.end(may_fail=PEOPLE[1:3])

    return day


async def revoking(academy: Academy, troubles: Troubles) -> None:
    """The call to revoke is answered wrongly."""
    await _first_badges(academy)
    await academy.withdraw(*PEOPLE)
    troubles.put(academy, "revoke")
    await academy.revoke("revoking with trouble")
    academy.heal()
    for _ in range(2):
        academy.later()
        await academy.revoke("revoking once it is well")
    standing = [user for user in PEOPLE if academy.server.live_of(user)]
    if standing:
        academy.find("6 what is to be revoked is revoked in the end", standing)


async def auditing(academy: Academy, troubles: Troubles) -> None:
    """The bulk read is answered wrongly; nothing changes for it."""
    await _first_badges(academy)
    troubles.put(academy, "bulk")
    await academy.audit("audit with trouble")
    await academy.end()


Day = Callable[[Academy, Troubles], Awaitable[None]]
DAYS: dict[str, Day] = {
    "issue": issuing,
    "issue-lagging": issuing_while_lists_lag,
    "issue-many": issuing_for_many,
    "list": looking_up,
    "replace": replacing,
    "single": reading_one,
    "revoke": revoking,
    "organization": _with_doubts("organization"),
    "template": _with_doubts("template"),
    "tokens": _with_doubts("tokens"),
    "bulk": auditing,
}
OF_PEOPLE = ("issue", "issue-lagging", "list", "replace", "single", "revoke")  # where a call is for one person
