"""When people are told, and when they are told that it is well again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.alerts import (
    Alert,
    AlertKind,
    AlertThresholds,
    RunFindings,
    RunHealth,
    alert_words,
    alerts_of,
    health_words,
    outage_before,
    refused_words,
    resolved,
)
from rules.monitoring.run_summary import IssuanceRef
from tests.support.facts import NOW

LIMITS = AlertThresholds(failed_share=0.2, backlog_runs=3, quiet_after=timedelta(days=3), no_run_for=timedelta(hours=1))
MANY = RunHealth(at=NOW, issued=0, failed=9, backlog=0, alarms=("many_failures:",))


def found(**changes: Any) -> RunFindings:
    values: dict[str, Any] = {"now": NOW, "issued": 0, "failed": 0, "backlog": 0}
    return RunFindings(**values | changes)


def runs(*backlogs: int) -> list[RunHealth]:
    """Earlier runs, the latest first, a quarter of an hour apart."""
    return [
        RunHealth(at=NOW - timedelta(minutes=15) * number, issued=0, failed=0, backlog=backlog)
        for number, backlog in enumerate(backlogs, start=1)
    ]


def raised(*earlier: RunHealth, **changes: Any) -> list[Alert]:
    return alerts_of(found(**changes), earlier, limits=LIMITS)


def names(told: Sequence[Alert]) -> list[AlertKind]:
    return [each.kind for each in told]


def test_nothing_is_wrong_in_a_run_that_did_nothing() -> None:
    assert raised() == []


def test_each_alarm_has_words_and_two_events() -> None:
    events = [name for kind in AlertKind for name in (kind.event, kind.resolved_event)]

    assert len(set(events)) == 2 * len(AlertKind)
    assert all(name.startswith("laurel.") for name in events)
    assert all(kind.heading and kind.resolved_heading and kind.advice.endswith(".") for kind in AlertKind)


def test_a_stopped_organization_is_named_with_its_reason_and_what_to_do() -> None:
    (told,) = raised(stopped={"org-1": Reason.TOKEN_REFUSED})

    assert (told.kind, told.subject, told.key) == (
        AlertKind.ORGANIZATION_STOPPED,
        "org-1",
        "organization_stopped:org-1",
    )
    assert told.sentence == f"Organization org-1: {Reason.TOKEN_REFUSED.sentence} {Reason.TOKEN_REFUSED.advice}"


@pytest.mark.parametrize(
    ("minutes", "words"), [(1, "ends at 2026-11-10 12:01:00 UTC"), (0, "ended at 2026-11-10 12:00")]
)
def test_a_token_that_ends_is_named_with_its_end(minutes: int, words: str) -> None:
    (told,) = raised(tokens_ending={"northwind": NOW + timedelta(minutes=minutes)})

    assert told.sentence.startswith(f"The Credly token of portal northwind {words}")


@pytest.mark.parametrize(
    ("now", "earlier", "told"),
    [
        (40, (30, 20, 10), True),
        (40, (30, 20, 10, 500), True),  # only so many runs count
        (40, (30, 20), False),  # too few runs to say
        (40, (40, 20, 10), False),  # did not grow in each
        (19, (15, 12, 10), False),  # grew, but by little
        (20, (15, 12, 10), True),
        (0, (30, 20, 10), False),
    ],
)
def test_a_backlog_that_grows_from_run_to_run_is_told(now: int, earlier: tuple[int, ...], told: bool) -> None:
    assert names(raised(*runs(*earlier), backlog=now)) == ([AlertKind.BACKLOG_GROWS] if told else [])


def test_the_growth_is_told_in_numbers() -> None:
    (told,) = raised(*runs(30, 20, 10), backlog=40)

    assert told.sentence == "The backlog grew in each of the last 3 runs: from 10 to 40 badges."


@pytest.mark.parametrize(
    ("issued", "failed", "told"), [(0, 5, True), (20, 5, False), (19, 5, True), (0, 4, False), (1000, 200, False)]
)
def test_more_than_a_share_of_refused_badges_is_told(issued: int, failed: int, told: bool) -> None:
    assert names(raised(issued=issued, failed=failed)) == ([AlertKind.MANY_FAILURES] if told else [])


def test_what_was_said_of_failures_stands_until_badges_are_tried_again() -> None:
    assert names(raised(MANY)) == [AlertKind.MANY_FAILURES]
    assert names(raised(MANY, issued=9)) == []
    assert names(raised(*runs(0))) == []


@pytest.mark.parametrize(
    ("days_ago", "told"),
    [
        ((), False),
        ((2.9,), False),
        ((3.1,), True),
        ((3.1, 4, 5), True),
        ((3.1, 7), False),  # pauses of four days are usual here
        ((8.1, 12), True),
    ],
)
def test_a_pause_that_is_longer_than_usual_is_told(days_ago: tuple[float, ...], told: bool) -> None:
    moments = [NOW - timedelta(days=days) for days in days_ago]

    assert names(raised(last_issued=moments)) == ([AlertKind.QUIET] if told else [])


def test_what_is_no_longer_raised_is_over_once() -> None:
    keys = ("organization_stopped:org-1", "organization_stopped:org-2", "backlog_grows:", "of_an_earlier_release:")
    before = RunHealth(at=NOW, issued=0, failed=0, backlog=0, alarms=keys)
    still = Alert(kind=AlertKind.ORGANIZATION_STOPPED, subject="org-1")

    told = resolved([still], [before, MANY])

    assert [(each.kind, each.subject) for each in told] == [
        (AlertKind.ORGANIZATION_STOPPED, "org-2"),
        (AlertKind.BACKLOG_GROWS, ""),
    ]
    assert told[0].sentence == "Badges of a Credly organization are issued again: org-2."
    assert told[1].sentence == "The backlog of badges no longer grows."
    assert resolved([], []) == []


MANY_NOW = Alert(kind=AlertKind.MANY_FAILURES, sentence="9 of the latest 9 badges were refused (100%).")
ENDS = Alert(kind=AlertKind.TOKEN_ENDS, subject="northwind", sentence="The Credly token of portal northwind ends soon.")


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "Nothing is wrong."),
        ({"left": ["2 failed badges of earlier runs left"]}, "No alert; 2 failed badges of earlier runs left."),
        (
            {"left": ["1 failed badge left", "3 awards cannot be entered"]},
            "No alert; 1 failed badge left and 3 awards ",
        ),
        ({"notes": ["The badge template t-1 is archived."]}, "The badge template t-1 is archived."),
        ({"to_do": "1 failed"}, "No alert, but an operator has to act: 1 failed."),
        ({"to_do": "0 issued. The platform cannot be read."}, "No alert, but an operator has to act: 0 issued. The "),
        ({"raised": [MANY_NOW], "to_do": "9 failed"}, f"{MANY_NOW.sentence} An operator has to act: 9 failed."),
        ({"raised": [ENDS], "left": ["2 failed badges of earlier runs left"]}, ENDS.sentence),
    ],
)
def test_the_health_of_a_run_agrees_with_its_state_and_its_page(known: dict[str, Any], words: str) -> None:
    found = health_words(**{"raised": []} | known)

    assert found.startswith(words)
    assert ("Nothing is wrong" in found) == (known == {})
    assert all(each.sentence in found for each in known.get("raised", []))
    assert known.get("to_do", "").rstrip(".") in found
    assert not found.endswith("..")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("many_failures:", "Many badges are refused"),
        ("token_ends:northwind", "A Credly token ends soon: northwind"),
        ("of_an_earlier_release:org:1", "of an earlier release: org:1"),
    ],
)
def test_an_alert_is_shown_in_words(key: str, words: str) -> None:
    assert alert_words(key) == words


def test_the_first_run_after_a_long_silence_says_how_long_it_was() -> None:
    late = RunHealth(at=NOW - timedelta(hours=2), issued=0, failed=0, backlog=0)

    assert outage_before(found(), [late], limits=LIMITS) == timedelta(hours=2)
    assert outage_before(found(), runs(0), limits=LIMITS) is None
    assert outage_before(found(), [], limits=LIMITS) is None


def test_a_message_names_the_first_refused_badges_with_their_links() -> None:
    refused = [IssuanceRef(number, "forklift", f"u-{number}", "northwind") for number in range(7)]
    blocked = [IssuanceRef(99, "crane", "u-99", "northwind")]
    named = {
        (IssuanceState.FAILED, Reason.REFUSED_BY_CREDLY): refused[3:],
        (IssuanceState.FAILED, Reason.NAME_MISSING): refused[:3],
        (IssuanceState.BLOCKED, Reason.TOKEN_REFUSED): blocked,
    }

    plain = refused_words(named, "")
    linked = refused_words(named, "https://p.example.org/run").splitlines()

    assert plain.splitlines() == [*(f"forklift to u-{number}" for number in range(5)), "…"]
    assert linked[0].startswith("forklift to u-0 https://p.example.org/run?parameters=%7B%22user%22%3A%22u-0%22")
    assert refused_words({(IssuanceState.FAILED, Reason.NAME_MISSING): refused[:5]}, "").endswith("u-4")
    assert refused_words({}, "") == ""
