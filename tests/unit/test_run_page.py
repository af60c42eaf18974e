"""The page of a run."""

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from rules.ledger.reasons import AwardFault, Reason, UnusableAward, shortened
from rules.ledger.states import IssuanceState
from rules.monitoring.run_page import (
    PendingCount,
    by_portal,
    in_portal,
    run_page,
    run_table,
    series_key,
    stopped_words,
    under_heads,
    unusable_page,
    unusable_words,
)
from rules.monitoring.run_summary import NAMED, IssuanceRef, Results, RunSummary, SlowCall
from tests.support.facts import NOW

KEY = (IssuanceState.FAILED, Reason.REFUSED_BY_CREDLY)


def page(
    total: RunSummary, *pending: PendingCount, warning: str = "", organizations: dict[str, RunSummary] | None = None
) -> str:
    return run_page(
        total, planned="Planned.", organizations=organizations or {}, pending=pending, warning=warning, now=NOW
    )


def a_pending(**changes: object) -> PendingCount:
    values = {"portal_id": "northwind", "reason": Reason.THROTTLED, "stop": "", "count": 3, "next_at": NOW}
    return PendingCount(**values | changes)  # type: ignore[arg-type]


def results(state: IssuanceState, count: int, *, achievement: str = "forklift", reason: Reason | None) -> Results:
    return Results(
        flow_run_id="run-1",
        portal_id="northwind",
        achievement_id=achievement,
        state=state,
        reason=reason,
        count=count,
    )


def refused(count: int) -> RunSummary:
    named = [IssuanceRef(number + 1, "forklift", "person-0042", "northwind") for number in range(min(count, NAMED))]
    return RunSummary(results=[results(KEY[0], count, reason=KEY[1])], named={KEY: named})


def test_a_run_that_did_nothing_has_a_short_page() -> None:
    assert page(RunSummary()) == "# What this run did\n\n**0 issued**\n\nPlanned."


def test_failures_are_grouped_with_advice_and_ids_and_the_rest_is_counted() -> None:
    text = page(refused(NAMED + 7))

    assert f"### {NAMED + 7} badges failed: Credly refused this badge; its message is beside this reason" in text
    assert "**What to do:** Act on Credly's message" in text
    assert "1 (`forklift` to `person-0042`), 2 (" in text
    assert "`person-0042`) and 7 more" in text
    assert f"{NAMED + 1} (" not in text
    assert "more" not in page(refused(1))


@pytest.mark.parametrize(
    ("pending", "told"),
    [
        (a_pending(), "by the next run. Credly limits the rate of calls."),
        (a_pending(reason=None), "by the next run. It is due."),
        (a_pending(next_at=NOW + timedelta(hours=1)), "by the first run after 2026-11-10 13:00:00 UTC. Credly"),
    ],
)
def test_what_waits_says_why_and_until_when(pending: PendingCount, told: str) -> None:
    assert f"- `northwind`: **3**, tried {told}" in page(RunSummary(), pending).replace("\\", "")


def test_what_is_held_or_paused_names_the_achievement_and_the_form() -> None:
    held = a_pending(stop="held", achievement_id="first-aid", count=24)
    paused = a_pending(stop="paused", achievement_id="crane")
    others = [a_pending(stop="held", achievement_id=f"more-{number}", count=1) for number in range(3)]

    text = page(RunSummary(), held, paused)

    assert "- `northwind`: **24 held** on achievement `first-aid`, tried after you run *release-credly* for it." in text
    assert "- `northwind`: **3 paused** on achievement `crane`, tried after you run *resume-credly* for it." in text
    words = "24 held on first-aid (run release-credly), 3 paused on crane (run resume-credly)"
    assert stopped_words([a_pending(), held, paused]) == words
    assert stopped_words([held, paused, *others]).endswith(
        "1 held on more-0 (run release-credly), 2 on other achievements"
    )
    assert stopped_words([a_pending()]) == ""


def test_everything_else_has_its_part() -> None:
    slow = SlowCall(timedelta(seconds=2.5), 1, "issue", "unclear")
    opened = Counter({(IssuanceState.BLOCKED, Reason.TOKEN_REFUSED): 2, (IssuanceState.PENDING, None): 1})
    total = replace(refused(1), open=opened, slowest=[slow])

    text = page(total, warning="Replace the token", organizations={"org-1": RunSummary(open=opened)})

    assert "**Replace the token**: afterwards nothing is issued." in text
    assert "| 2.5 s | 1 | Sent the badge to Credly | the response was lost, so the badge may exist |" in text
    assert "- **2 blocked** `token_refused`: Credly refused the portal's token" in text
    assert "may not issue\\. **What to do:** Put a valid token" in text
    assert "- **1 pending**: Waits to be issued, at the moment in its column not\\_before or later\\." in text
    assert "| `org-1` | 0 issued · now 2 blocked, 1 waiting |" in text
    assert "| `northwind` | `forklift` | 0 | 1 | 0 | 0 | 0 |" in text


def test_awards_that_cannot_be_entered_are_grouped_with_advice_and_named_without_their_users() -> None:
    fault = AwardFault.WITHOUT_USER
    without_user = [
        UnusableAward(fault=fault, award_id=f"award-{number:02}", achievement_id="forklift") for number in range(52)
    ]
    without_portal = UnusableAward(fault=AwardFault.WITHOUT_PORTAL, achievement_id="crane")

    text = "\n".join(unusable_page([*without_user, without_portal]))

    assert "**52 awards** `award_without_user`: The award's user\\_id is NULL, blank" in text
    assert "**1 award** `award_without_portal`" in text
    assert text.count("**What to do:**") == 2
    assert "`award-00` of `forklift`, `award-01` of `forklift`" in text
    assert "`award-49` of `forklift` and 2 more" in text
    assert text.splitlines()[-3] == "`crane`"
    assert unusable_words([*without_user, without_portal]) == "53 awards cannot be entered"
    assert unusable_words([]) == ""
    shown = run_page(RunSummary(), planned="Planned.", unusable=[without_portal], organizations={}, pending=[], now=NOW)
    assert "## Awards that cannot be entered" in shown


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (None, "NULL"),
        ("", "blank"),
        (" \t", "blank"),
        (5, "not text"),
        (b"ada", "not text"),
        ("ada@example.org", "hidden"),
        ("k" * 20, "k" * 20),
        ("k" * 21, "k" * 20 + "…"),
        ("a\udcff", "a?"),
    ],
)
def test_an_id_is_shown_whatever_is_stored_in_its_place(stored: object, shown: str) -> None:
    assert shortened(stored) == shown


def test_the_table_and_the_series_have_the_same_numbers() -> None:
    row = {"portal": "northwind", "achievement": "forklift", "issued": 0, "failed": 2, "blocked": 0}
    row |= {"to be tried again": 0, "cancelled": 0}

    assert run_table(refused(2)) == [row]
    sums = {head: count for head, count in row.items() if head not in ("portal", "achievement")}
    blocked = results(IssuanceState.BLOCKED, 1, achievement="crane", reason=Reason.TOKEN_REFUSED)
    (counts,) = by_portal(RunSummary(results=[*refused(2).results, blocked])).values()
    assert under_heads(counts) == sums | {"blocked": 1}
    assert in_portal("northwind", counts) == "northwind: 2 failed · 1 blocked"


def test_each_portal_has_a_key_of_its_own_that_prefect_takes() -> None:
    names = ["north-wind", "North-Wind", "north_wind", "north wind", "42", "Ж", "", "x" * 200]

    keys = [series_key("issued", name) for name in names]

    assert keys[0] == "issued-north-wind"
    assert len(set(keys)) == len(names)
    assert [key for key in keys if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)] == []


def test_a_page_of_a_thousand_organizations_lists_the_first_hundred_and_those_with_trouble_first() -> None:
    of_each = {f"organization-{number:04}": RunSummary() for number in range(1000)} | {"troubled": refused(1)}
    issued = [results(IssuanceState.ISSUED, 5, achievement=f"badge-{number:04}", reason=None) for number in range(1000)]
    total = RunSummary(results=[*issued, results(KEY[0], 1, achievement="zoology", reason=KEY[1])])

    shown = page(total, *[a_pending(portal_id=f"portal-{number:04}") for number in range(300)], organizations=of_each)

    assert len(shown) < 40_000
    assert [line for line in shown.splitlines() if line.startswith("And ")] == [
        "And 901 more.",
        "And 200 more.",
        "And 901 more.",
    ]
    for troubled in ("`zoology`", "`troubled`", "badge-0098", "organization-0098"):
        assert troubled in shown
    assert "badge-0099" not in shown
