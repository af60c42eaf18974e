"""What happened, in order and in words."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.ledger.tables import AttemptKind, AttemptOutcome
from rules.explain.history import History, Integration, Operator, SettingsEntry
from rules.explain.timeline import call_text, timeline
from rules.ledger.eligibility import Award, Coverage
from rules.ledger.reasons import Reason
from rules.ledger.settings_changes import SettingsAction, SettingsOf
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition
from rules.wording import ANSWERS, CALLS
from tests.support.histories import call, entry, row

DAY = datetime(2026, 11, 2, 8, tzinfo=UTC)
JO = Operator(creator="USER: jo", operator_id="o-17")


def on(day: int) -> datetime:
    return DAY + timedelta(days=day)


HERE = Integration(coverage=Coverage(badge_template_id="t-1", covers_from=on(1)), enabled_at=on(1))


def told(**changes: Any) -> list[str]:
    history = History(user_id="ada", achievement_id="forklift", **changes)
    return [event.what for event in timeline(history)]


def test_every_call_and_every_answer_has_words() -> None:
    assert set(CALLS) == {kind.value for kind in AttemptKind}
    assert set(ANSWERS) == {outcome.value for outcome in AttemptOutcome}


def test_a_call_is_told_with_what_credly_answered() -> None:
    answer = {"outcome": "refused", "status": 422, "code": "taken", "credly_message": "No.", "request_id": "r-1"}
    refused = call(**answer, field_names="a,b")

    assert call_text(call(status=201)) == "Sent the badge to Credly: it was issued (201, 120 ms)."
    assert call_text(refused) == (
        "Sent the badge to Credly: refused (422, code taken, 120 ms, request r-1). Credly's message: No. "
        "Fields sent: a, b."
    )


def test_settings_awards_transitions_and_calls_are_in_their_order() -> None:
    connected = SettingsEntry(
        at=on(0),
        settings_of=SettingsOf.CONNECTION,
        subject_id="northwind",
        action=SettingsAction.CONNECTED,
        changes={"token_block": (None, "credly-northwind")},
        reconstructed=True,
    )
    paused = SettingsEntry(
        at=on(8),
        settings_of=SettingsOf.INTEGRATION,
        subject_id="forklift",
        action=SettingsAction.PAUSED,
        changes={"paused_at": (None, "2026-11-10T08:00:00+00:00")},
        flow_run_id="run-3",
        operator=JO,
    )
    issued = row(
        IssuanceState.ISSUED,
        issued_at=on(2),
        adopted=True,
        evidence_sent="user,portal",
        evidence_left_out="project:not_on_award",
        credly_state="revoked",
        audited_at=on(6),
        transitions=(
            entry(Transition.ENQUEUE, "pending", at=on(3), flow_run_id="run-0"),
            entry(Transition.ISSUE, "issued", "issuing", at=on(5), flow_run_id="run-2"),
        ),
        calls=(call(started_at=on(4), kind="look_up", outcome="found", status=200, flow_run_id="run-1"),),
    )
    history = History(
        user_id="ada",
        achievement_id="forklift",
        portal_id="northwind",
        connected_at=on(7),
        integration=HERE,
        awards=(Award(award_id="a-1", awarded_at=on(2), withdrawn=True, withdrawn_at=on(9)),),
        rows=(issued,),
        settings_changes=(connected, paused),
    )

    events = timeline(history)

    assert [(event.what, event.flow_run_id) for event in events] == [
        (
            "Portal northwind was connected to Credly: token_block credly-northwind. "
            "(from before the history was kept)",
            None,
        ),
        ("Credly was enabled; the template is t-1 now.", None),
        ("Awarded (award a-1).", None),
        ("Issuance 1: An eligible award became an issuance (pending, template t-1).", "run-0"),
        ("Looked the badge up at Credly: it exists (200, 120 ms).", "run-1"),
        (
            "Issuance 1: Credly has the badge; its id was recorded (issuing → issued). Badge b-1, dated 2026-11-04 "
            "08:00:00 UTC. Found at Credly and adopted. Evidence: user, portal. Left out: project:not_on_award.",
            "run-2",
        ),
        ("The badge was read at Credly: it is revoked. That badge does not count.", None),
        ("Achievement forklift was paused. By USER: jo, operator o-17.", "run-3"),
        ("Award a-1 was withdrawn.", None),
    ]


def test_a_request_by_hand_leaves_the_award_that_entered_the_row_and_its_first_failure() -> None:
    tried_twice = row(
        requested_by="USER: jo",
        request_reason="By letter",
        transitions=(
            entry(Transition.ENQUEUE, "pending", at=on(1)),
            entry(Transition.FAIL, "failed", "issuing", at=on(2), reason=Reason.NAME_MISSING),
            entry(Transition.REQUEST, "pending", "failed", at=on(3), badge_template_id="t-2", operator=JO),
            entry(Transition.FAIL, "failed", "issuing", at=on(4), badge_template_id="t-2", operator=JO),
        ),
    )

    first, failed, requested, again = told(rows=(tried_twice,))

    assert first == "Issuance 1: An eligible award became an issuance (pending, template t-1)."
    assert failed == (
        "Issuance 1: Refused, or the data cannot be sent (issuing → failed): " + Reason.NAME_MISSING.sentence
    )
    assert requested == (
        "Issuance 1: Requested by an operator (failed → pending, template t-2). By USER: jo, operator o-17. "
        "Reason given: By letter."
    )
    assert again == "Issuance 1: Refused, or the data cannot be sent (issuing → failed)."


def test_each_request_has_its_own_operator_and_the_row_that_of_the_latest() -> None:
    requests = (
        entry(Transition.REQUEST, "pending", at=on(1)),
        entry(Transition.REQUEST, "pending", "pending", at=on(2)),
    )

    first, latest = told(rows=(row(requested_by="USER: jo", request_reason="By letter", transitions=requests),))

    assert first.endswith("(pending, template t-1). By an unknown operator.")
    assert latest.endswith("Requested by an operator (pending). By USER: jo. Reason given: By letter.")


def test_a_replacement_by_hand_has_its_reason_and_one_by_a_new_award_has_none() -> None:
    def replaced(operator: Operator | None) -> str:
        replacing = entry(Transition.REPLACE, "pending", "issued", at=on(2), operator=operator)
        return told(rows=(row(request_reason="By letter", transitions=(replacing,)),))[0]

    assert replaced(JO).endswith("By USER: jo, operator o-17. Reason given: By letter.")
    assert replaced(None).endswith("(issued → pending, template t-1).")


def test_what_is_from_before_the_history_is_marked() -> None:
    entries = (
        entry(Transition.UNKNOWN, "pending", at=on(1), reconstructed=True),
        entry(Transition.UNKNOWN, "issued", at=on(2), reconstructed=True),
    )
    by_hand = row(IssuanceState.ISSUED, requested_by="USER: jo", issued_at=on(1), transitions=entries)

    assert told(rows=(by_hand,)) == [
        "Issuance 1: Its state at that time (pending, template t-1). It was requested by USER: jo, at an unknown "
        "moment. (from before the history was kept)",
        "Issuance 1: Its state at that time (issued). Badge b-1, dated 2026-11-03 08:00:00 UTC. Evidence: none. "
        "(from before the history was kept)",
    ]


def test_a_state_that_was_written_without_a_transition_is_named_as_such() -> None:
    written = entry(Transition.UNKNOWN, "pending", "failed", at=on(2))

    assert told(rows=(row(transitions=(written,)),)) == [
        "Issuance 1: Written by an earlier version of Laurel, or in SQL (failed → pending, template t-1)."
    ]


def test_a_badge_that_was_never_asked_about_is_not_known_to_the_audit() -> None:
    assert told(rows=(row(IssuanceState.ISSUED, audited_at=on(3)),)) == [
        "The badge was read at Credly: it is not known."
    ]


def test_settings_that_were_written_in_sql_are_shown_as_they_are_now() -> None:
    shown = told(portal_id="northwind", connected_at=on(0), integration=HERE)

    assert shown == [
        "Portal northwind was connected to Credly, as it is now.",
        "Credly was enabled; the template is t-1 now.",
    ]


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
    assert told(awards=(award,)) == ["Awarded (award a-1).", said]


def test_the_last_request_that_was_sent_is_known_by_its_fingerprint() -> None:
    sent, again = call(request_fingerprint="f-1"), call(request_fingerprint="f-2")

    assert row(calls=(sent, again, call(kind="look_up"))).sent_fingerprint == "f-2"
    assert row(calls=(call(kind="look_up"),)).sent_fingerprint is None
