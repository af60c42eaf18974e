"""What happened, in order and in words."""

from datetime import UTC, datetime, timedelta

import pytest

from models.ledger.tables import AttemptKind, AttemptOutcome
from rules.history import History, Integration
from rules.ledger.eligibility import Award
from rules.reasons import Reason
from rules.states import IssuanceState, Origin
from rules.timeline import ANSWERS, CALLS, in_words, timeline
from tests.support.histories import call, row

DAY = datetime(2026, 11, 2, 8, tzinfo=UTC)


def on(day: int) -> datetime:
    return DAY + timedelta(days=day)


def told(history: History) -> list[str]:
    return [event.what for event in timeline(history)]


def test_every_call_and_every_answer_has_words() -> None:
    assert set(CALLS) == {kind.value for kind in AttemptKind}
    assert set(ANSWERS) == {outcome.value for outcome in AttemptOutcome}


def test_a_call_is_told_with_what_credly_answered() -> None:
    answer = {"outcome": "refused", "status": 422, "code": "taken", "credly_message": "No.", "request_id": "r-1"}
    refused = call(**answer, field_names="a,b")

    assert in_words(call(status=201)) == "Sent the badge to Credly: it was issued (201, 120 ms)."
    assert in_words(refused) == (
        "Sent the badge to Credly: refused (422, code taken, 120 ms, request r-1). Credly's message: No. "
        "Fields sent: a, b."
    )


def test_everything_is_told_in_its_order() -> None:
    integration = Integration(
        badge_template_id="t-1", enabled_at=on(1), issue_since=on(0), paused_at=on(8), held_at=on(7)
    )
    issued = row(
        IssuanceState.ISSUED,
        planned_at=on(3),
        recorded_at=on(5),
        issued_at=on(2),
        adopted=True,
        evidence_sent="user,portal",
        evidence_left_out="project:not_on_award",
        credly_state="revoked",
        audited_at=on(6),
        flow_run_id="run-2",
        calls=(call(started_at=on(4), kind="look_up", outcome="found", status=200, flow_run_id="run-1"),),
    )
    award = Award(award_id="a-1", awarded_at=on(2), withdrawn=True, withdrawn_at=on(9))
    history = History(
        user_id="ada",
        achievement_id="forklift",
        portal_id="northwind",
        connected_at=on(0),
        integration=integration,
        awards=(award,),
        rows=(issued,),
    )

    assert told(history) == [
        "Portal northwind was connected to Credly, as it is now.",
        "Credly was enabled; the template is t-1 now, for awards from 2026-11-02 08:00:00 UTC on.",
        "Awarded (award a-1).",
        "Issuance 1 was entered into the ledger, template t-1.",
        "Asked Credly whether the badge exists: it exists (200, 120 ms).",
        "Issuance 1 was found at Credly and taken over: badge b-1, dated 2026-11-04 08:00:00 UTC. "
        "Evidence: user, portal. Left out: project:not_on_award.",
        "The audit asked Credly: the badge is revoked. That is no standing badge.",
        "The achievement's badges were held back, because they are many.",
        "Credly was paused on the achievement.",
        "Award a-1 was withdrawn.",
    ]
    assert [event.flow_run_id for event in timeline(history)][4:6] == ["run-1", "run-2"]


def test_what_a_person_asked_for_says_who_and_why() -> None:
    by_hand = row(origin=Origin.BY_HAND, requested_by="USER: jo", request_reason="By letter", planned_at=on(1))
    unknown = row(origin=Origin.BY_HAND, planned_at=on(1))

    def first(*rows: object) -> str:
        return told(History(user_id="ada", achievement_id="forklift", rows=rows))[0]  # type: ignore[arg-type]

    assert first(by_hand) == (
        "Issuance 1 was entered into the ledger by hand (USER: jo), template t-1. Reason given: By letter."
    )
    assert "by hand (not known by whom)" in first(unknown)


def test_where_it_stands_is_told_with_its_reason() -> None:
    blocked = row(IssuanceState.BLOCKED, reason=Reason.TOKEN_REFUSED, planned_at=on(1), updated_at=on(2))
    waiting = row(planned_at=on(1), updated_at=on(2))
    issued = row(IssuanceState.ISSUED, planned_at=on(1), recorded_at=on(2), updated_at=on(2), audited_at=on(3))

    def last(*rows: object) -> str:
        return told(History(user_id="ada", achievement_id="forklift", rows=rows))[-1]  # type: ignore[arg-type]

    assert last(blocked).startswith("Issuance 1 was put to blocked: Credly refused the portal's token")
    assert last(waiting) == "Issuance 1 was put to pending."
    assert last(issued) == "The audit asked Credly: the badge is not known."


def test_what_never_happened_is_not_told() -> None:
    integration = Integration(badge_template_id="t-1", enabled_at=on(1))
    award = Award(award_id="a-1", awarded_at=on(2))
    history = History(user_id="ada", achievement_id="forklift", integration=integration, awards=(award,))

    assert told(history) == ["Credly was enabled; the template is t-1 now.", "Awarded (award a-1)."]


@pytest.mark.parametrize(
    ("award", "said"),
    [
        (Award(award_id="a-1", awarded_at=on(2), withdrawn_at=on(9)), "Award a-1 is to be withdrawn."),
        (
            Award(award_id="a-1", awarded_at=on(2), withdrawn=True),
            "Award a-1 was withdrawn, at a moment that cannot be shown.",
        ),
    ],
)
def test_a_withdrawal_that_has_not_come_or_has_no_moment_is_named(award: Award, said: str) -> None:
    assert told(History(user_id="ada", achievement_id="forklift", awards=(award,))) == ["Awarded (award a-1).", said]


def test_the_last_request_that_was_sent_is_known_by_its_fingerprint() -> None:
    sent, again = call(request_fingerprint="f-1"), call(request_fingerprint="f-2")

    assert row(calls=(sent, again, call(kind="look_up"))).sent_fingerprint == "f-2"
    assert row(calls=(call(kind="look_up"),)).sent_fingerprint is None
