"""Many failed badges are made due again with one form, and each is issued exactly once."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from flows.issue_badge import issue_badge
from flows.pause_credly import pause_credly
from flows.reconcile import reconcile
from flows.resume_credly import resume_credly
from flows.retry_failed import retry_failed
from models.ledger.tables import BadgeIssuance
from models.platform.tables import Portal
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin
from tests.support.factories import an_achievement, an_issuance, rows_of
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import TEMPLATE, World

ISSUE = {"method": "POST", "path": "/badges$"}
DUE = "with the next run of reconcile"


async def states(world: World) -> dict[str, str]:
    return {row.user_id: str(row.state) for row in await rows_of(world.database, BadgeIssuance)}


async def a_failed_badge(world: World, user: str, **changes: Any) -> None:
    values: dict[str, Any] = {"badge_template_id": TEMPLATE, "updated_at": datetime.now(UTC)}
    await an_issuance(world.database, user=user, state=IssuanceState.FAILED, **values | changes)


@pytest.mark.prefect
async def test_refused_badges_are_issued_exactly_once_when_the_cause_is_gone(
    any_world: World, standin: Standin
) -> None:
    world = any_world
    await world.enable()
    await world.add_user("eve")
    await world.award("ada")
    await world.award("bob")
    standin.allow_duplicates(TEMPLATE)
    standin.fault("answer", **ISSUE, status=422, message="Badge template is not ready", count=3)
    await reconcile(return_state=True)
    await see(issue_badge, user="eve", achievement="forklift")
    await reconcile(return_state=True)
    assert (standin.badges(), set((await states(world)).values())) == ([], {"failed"})

    seen = await see(retry_failed, achievement="forklift", preview=False)
    again = await see(retry_failed, achievement="forklift", preview=False)
    assert standin.badges() == []
    for _ in range(2):
        await reconcile(return_state=True)

    assert (seen.name, seen.message) == ("Completed", f"3 failed badges are due {DUE}")
    assert again.message == "No failed badge matches; nothing was changed"
    assert sorted(badge["issuer_earner_id"] for badge in standin.badges()) == ["ada", "bob", "eve"]
    assert (len(standin.mails()), set((await states(world)).values())) == (3, {"issued"})


async def test_where_an_answer_was_unclear_credly_is_asked_first(
    world: World, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.configure(monkeypatch, ATTEMPTS_LIMIT="1")
    standin.allow_duplicates(TEMPLATE)
    await world.enable()
    await world.award("ada")
    standin.fault("drop_after", **ISSUE)
    await reconcile(return_state=True)
    assert await states(world) == {"ada": "failed"}

    await see(retry_failed, reason="attempts_used_up", preview=False)
    await reconcile(return_state=True)

    assert await states(world) == {"ada": "issued"}
    assert (len(standin.badges()), len(standin.mails())) == (1, 1)


async def test_a_preview_shows_what_would_be_due_and_changes_nothing(any_world: World, standin: Standin) -> None:
    world = any_world
    await world.enable()
    await an_achievement(world.database, "crane")
    await world.enable("crane")
    await a_failed_badge(world, "ada")
    await a_failed_badge(world, "bob")
    await a_failed_badge(world, "ada", achievement="crane", reason=Reason.ATTEMPTS_USED_UP)
    before = await world.ledger()

    seen = await see(retry_failed, portal=" northwind ")

    assert (seen.name, seen.message) == (
        "Completed",
        f"Preview: nothing was done; 3 failed badges would be due {DUE}",
    )
    assert seen.page.startswith("# Preview\n\nPreview\\: nothing was done; 3 failed badges")
    assert "Chosen: portal `northwind`; at most 200, the oldest first." in seen.page
    assert seen.page.splitlines()[-4:] == [
        "| achievement | reason | badges |  |",
        "| --- | --- | --- | --- |",
        "| `crane` | `attempts_used_up` | 1 |  |",
        "| `forklift` | `refused_by_credly` | 2 |  |",
    ]
    assert (await world.ledger(), standin.requests()) == (before, [])


async def test_so_many_as_the_cap_allows_and_the_rest_when_it_is_run_again(world: World, standin: Standin) -> None:
    await world.enable()
    for hours, user in ((1, "eve"), (2, "bob"), (3, "ada")):
        await a_failed_badge(world, user, updated_at=datetime.now(UTC) - timedelta(hours=hours))

    shown = await see(retry_failed, achievement="forklift", at_most=2)
    seen = await see(retry_failed, achievement="forklift", at_most=2, preview=False)

    more = "1 more matches: run retry-failed again"
    assert shown.message == f"Preview: nothing was done; 2 failed badges would be due {DUE}; {more}"
    assert (seen.name, seen.message) == ("Needs attention", f"2 failed badges are due {DUE}; {more}")
    assert await states(world) == {"ada": "pending", "bob": "pending", "eve": "failed"}
    seen = await see(retry_failed, achievement="forklift", at_most=2, preview=False)
    assert (seen.name, seen.message) == ("Completed", f"1 failed badge is due {DUE}")


@pytest.mark.parametrize(
    ("chosen", "users", "words"),
    [
        ({"achievement": "crane "}, "eve", "achievement `crane`"),
        ({"portal": "second"}, "kim", "portal `second`"),
        ({"reason": "user_missing"}, "bob", "reason `user_missing`"),
        ({"since": date(2026, 11, 2)}, "bob eve kim", "failed since 2026-11-02 (UTC)"),
        ({"until": "2026-11-01"}, "ada", "failed until 2026-11-01 (UTC)"),
        ({"since": "2026-11-02", "until": "2026-11-02", "portal": "northwind"}, "bob", "on 2026-11-02 (UTC)"),
    ],
)
async def test_each_field_narrows_what_is_retried(world: World, chosen: dict[str, Any], users: str, words: str) -> None:
    await world.enable()
    await an_achievement(world.database, "crane")
    await world.enable("crane")
    await world.second_portal()
    midnight = datetime(2026, 11, 2, tzinfo=UTC)
    await a_failed_badge(world, "ada", updated_at=midnight - timedelta(seconds=1))
    await a_failed_badge(world, "bob", updated_at=midnight, reason=Reason.USER_MISSING)
    await a_failed_badge(world, "eve", updated_at=midnight + timedelta(days=1), achievement="crane")
    await a_failed_badge(world, "kim", achievement="second-achievement", portal="second")

    seen = await see(retry_failed, **chosen, preview=False)

    assert {user for user, state in (await states(world)).items() if state == "pending"} == set(users.split())
    assert words in seen.page


async def test_what_cannot_be_issued_stays_failed_and_the_cure_is_named(any_world: World) -> None:
    world = any_world
    await world.enable()
    await an_achievement(world.database, "crane")
    await world.add(Portal, id="second", name="Second")
    await a_failed_badge(world, "ada")
    await a_failed_badge(world, "eve", achievement="crane")
    await a_failed_badge(world, "kim", portal="second")

    seen = await see(retry_failed, since="2020-01-01", preview=False)
    nothing = await see(retry_failed, since="2020-01-01", preview=False)

    left = (
        "not made due: 1 without an integration for their achievement (run enable-credly first), "
        "1 of a portal that is not connected (run connect-portal first)"
    )
    assert (seen.name, seen.message) == ("Needs attention", f"1 failed badge is due {DUE}; {left}")
    assert nothing.message == f"0 failed badges are due {DUE}; {left}"
    assert await states(world) == {"ada": "pending", "eve": "failed", "kim": "failed"}


async def test_where_an_integration_is_paused_or_held_they_wait_until_it_is_not(world: World, standin: Standin) -> None:
    await world.enable()
    await an_achievement(world.database, "crane")
    await world.enable("crane", held_at=datetime.now(UTC))
    await see(pause_credly, achievement="forklift")
    for user, achievement in (("ada", "forklift"), ("bob", "forklift"), ("ada", "crane")):
        await a_failed_badge(world, user, achievement=achievement, origin=Origin.BY_HAND)

    shown = await see(retry_failed, portal="northwind")
    seen = await see(retry_failed, portal="northwind", preview=False)
    await reconcile(return_state=True)

    waiting = "of these, 2 are paused (run resume-credly), 1 is held (run release-credly)"
    assert shown.message == f"Preview: nothing was done; 3 failed badges would be due {DUE}; {waiting}"
    assert (seen.name, seen.message) == ("Needs attention", f"3 failed badges are due {DUE}; {waiting}")
    assert "| `crane` | `refused_by_credly` | 1 | **held** |" in seen.page
    assert "| `forklift` | `refused_by_credly` | 2 | **paused** |" in seen.page
    assert (standin.badges(), set((await states(world)).values())) == ([], {"pending"})

    await see(resume_credly, achievement="forklift")
    await reconcile(return_state=True)
    assert sorted(badge["issuer_earner_id"] for badge in standin.badges()) == ["ada", "bob"]


async def test_an_empty_form_retries_nothing(world: World) -> None:
    await world.enable()
    await a_failed_badge(world, "ada")
    empty = (
        "achievement: give an achievement, a portal, a reason or a period (since, until); "
        "an empty form would retry every failed badge."
    )

    assert await refused(retry_failed) == empty
    assert await refused(retry_failed, achievement=" ", portal="\n", reason="any", at_most=5, preview=False) == empty
    assert await states(world) == {"ada": "failed"}


async def test_what_does_not_exist_is_refused_with_near_names(world: World) -> None:
    assert await refused(retry_failed, achievement="forklif") == (
        "achievement: there is no achievement `forklif`. Did you mean forklift (Forklift)?"
    )
    assert await refused(retry_failed, portal="north") == (
        "portal: there is no portal `north`. Did you mean northwind (Northwind)?"
    )
    assert (await refused(retry_failed, since="2026-11-02", until="2026-11-01")).startswith(
        "until: 2026-11-01 is before since, 2026-11-02."
    )


@pytest.mark.parametrize("typed", [{"at_most": 0}, {"at_most": 10_001}, {"reason": "token_refused"}])
def test_a_value_out_of_range_is_refused_before_there_is_a_run(typed: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        retry_failed.validate_parameters({"achievement": "forklift", **typed})


def test_the_form_has_a_menu_of_reasons_and_help_for_each_field() -> None:
    schema = parameter_schema(retry_failed)

    menu = schema.definitions["FailedReason"]["enum"]
    assert menu[0] == "any"
    assert "refused_by_credly" in menu
    assert [name for name, field in schema.properties.items() if not field.get("description")] == []
    assert schema.required == []
