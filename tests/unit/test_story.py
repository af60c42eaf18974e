"""Why has she no badge? Each cause, with what comes next and what a person can do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rules.explain.diagnosis import Cause, answer
from rules.explain.history import Answer, History, Integration, LedgerRow
from rules.ledger.eligibility import Award, Coverage
from rules.ledger.reasons import AwardFault, Reason
from rules.ledger.states import IssuanceState, Origin
from tests.support.facts import AWARDED, NOW
from tests.support.histories import row

ENABLED = AWARDED - timedelta(days=30)
LATER = NOW + timedelta(hours=2)
AWARD = Award(award_id="a-1", awarded_at=AWARDED)
GONE = Award(award_id="a-1", awarded_at=AWARDED, withdrawn=True, withdrawn_at=NOW - timedelta(hours=1))
COVERED = Coverage(badge_template_id="t-1", covers_from=ENABLED)
HERE = Integration(coverage=COVERED, enabled_at=ENABLED)


def told(*rows: LedgerRow, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "portal_id": "northwind",
        "connected_at": ENABLED,
        "connected_portals": frozenset({"northwind"} if changes.get("connected_at", ENABLED) else ()),
        "integration": HERE,
        "awards": (AWARD,),
        "present_fingerprint": "f-1",
    }
    return answer(History(user_id="ada", achievement_id="forklift", rows=rows, **values | changes), now=NOW)


ISSUED, FAILED = IssuanceState.ISSUED, IssuanceState.FAILED
BLOCKED, CANCELLED, ISSUING = IssuanceState.BLOCKED, IssuanceState.CANCELLED, IssuanceState.ISSUING
REFUSED = {"reason": Reason.REFUSED_BY_CREDLY, "request_fingerprint": "f-1"}
REMOVED = {"reason": Reason.INTEGRATION_REMOVED}
PAUSED = replace(HERE, paused_at=NOW)
HELD = replace(HERE, held_at=NOW)
OTHER = replace(HERE, coverage=replace(COVERED, badge_template_id="t-2"))
LATE = Integration(coverage=replace(COVERED, covers_from=NOW), enabled_at=NOW)
REACHING = replace(HERE, enabled_at=NOW)
REPLACING = replace(HERE, coverage=replace(COVERED, replaces=True))
FOLLOWING = replace(HERE, coverage=replace(COVERED, follows_names=True))
NAMED: dict[str, Any] = {"name_digest": "0123456711"}
RENAMED: dict[str, Any] = {"integration": FOLLOWING, "names": {1: "7654321011"}}
AGAIN = (AWARD, Award(award_id="a-2", awarded_at=NOW - timedelta(hours=1)))
NEXT_WEEK = Award(award_id="a-2", awarded_at=NOW + timedelta(days=7))


@pytest.mark.parametrize(
    ("rows", "changes", "cause", "words"),
    [
        # not in the ledger
        ((), {"awards": ()}, Cause.NO_AWARD, "ada was not awarded forklift."),
        ((), {"awards": (GONE,)}, Cause.WITHDRAWN, "The award was withdrawn at "),
        ((), {"awards": (), "fault": AwardFault.WITHOUT_ID}, Cause.CANNOT_BE_ENTERED, "The award's own id"),
        ((), {"portal_id": "", "fault": AwardFault.WITHOUT_PORTAL}, Cause.CANNOT_BE_ENTERED, "The portal_id of"),
        (
            (),
            {"portal_id": "", "fault": AwardFault.WITHOUT_PORTAL, "integration": LATE},
            Cause.BEFORE_COVERAGE,
            "issues badges for awards since ",
        ),
        ((), {"integration": None}, Cause.NO_INTEGRATION, "Credly is not enabled on forklift"),
        ((), {"integration": LATE}, Cause.BEFORE_COVERAGE, "issues badges for awards since "),
        ((), {"integration": REACHING}, Cause.NOT_ENTERED, "no run has planned"),
        ((), {"connected_at": None}, Cause.NOT_CONNECTED, "is not connected to Credly."),
        ((), {"integration": PAUSED}, Cause.PAUSED, "Credly has been paused on forklift since "),
        ((), {"integration": HELD}, Cause.HELD, "have been held since "),
        ((), {"awards": (NEXT_WEEK,)}, Cause.FUTURE, "The award is dated in the future"),
        ((), {}, Cause.NOT_ENTERED, "It has been eligible since "),
        ((), {"cannot_be_sent": Reason.NO_PRIMARY_EMAIL}, Cause.DUE, "The user has no primary e-mail address."),
        # pending
        ((row(),), {}, Cause.DUE, "It has been due since "),
        ((row(),), {"cannot_be_sent": Reason.NAME_MISSING}, Cause.DUE, "cannot be sent with the present data"),
        ((row(),), {"connected_at": None}, Cause.NOT_CONNECTED, "is not connected to Credly."),
        ((row(),), {"integration": PAUSED}, Cause.PAUSED, "has been paused"),
        ((row(),), {"integration": HELD}, Cause.HELD, "have been held"),
        ((row(),), {"awards": (GONE,)}, Cause.TO_BE_CANCELLED, "The award was withdrawn"),
        ((row(),), {"integration": None}, Cause.TO_BE_CANCELLED, "Credly was disabled"),
        ((row(),), {"integration": OTHER}, Cause.DUE, "It has been due since "),
        ((), {"moved": row(ISSUED)}, Cause.AWARD_MOVED, "The award was another user's before"),
        ((), {"moved": row(outstanding=True)}, Cause.AWARD_MOVED, "The award was another user's before"),
        ((row(outstanding=True),), {"integration": OTHER}, Cause.OUTSTANDING, "response was lost"),
        ((row(origin=Origin.BY_HAND),), {"awards": ()}, Cause.DUE, "It has been due since "),
        ((row(not_before=LATER, reason=Reason.THROTTLED),), {}, Cause.WAITS, "Credly limits the rate of calls"),
        ((row(not_before=LATER, reason=Reason.AWARDED_IN_FUTURE),), {}, Cause.FUTURE, "dated in the future"),
        ((row(not_before=LATER),), {}, Cause.WAITS, "It is to be issued later. The next attempt is at "),
        # issuing
        ((row(ISSUING, lease_until=LATER),), {}, Cause.UNDER_WAY, "A run is issuing it at this moment."),
        ((row(ISSUING, lease_until=NOW),), {}, Cause.LEFT_BEHIND, "ended without a result"),
        # issued
        ((row(ISSUED),), {}, Cause.HAS_BADGE, "ada has the badge of forklift since "),
        ((row(ISSUED, credly_state="accepted"),), {}, Cause.HAS_BADGE, "The earner has accepted it."),
        ((row(ISSUED, credly_state="pending"),), {}, Cause.HAS_BADGE, "The earner has not accepted it yet."),
        ((row(ISSUED, credly_state="revoked"),), {}, Cause.BADGE_ENDED, "at Credly it is revoked now."),
        ((row(ISSUED),), {"awards": (GONE,)}, Cause.AWARD_GONE, "but the award was withdrawn afterwards."),
        ((row(ISSUED, origin=Origin.BY_HAND),), {"awards": ()}, Cause.HAS_BADGE, "ada has the badge"),
        ((row(ISSUED),), {"integration": OTHER}, Cause.HAS_BADGE, "ada has the badge"),
        (
            (row(ISSUED, awarded_at=AWARDED),),
            {"integration": REPLACING, "awards": AGAIN},
            Cause.TO_BE_REPLACED,
            "again",
        ),
        ((row(ISSUED, awarded_at=AWARDED),), {"awards": AGAIN}, Cause.HAS_BADGE, "ada has the badge"),
        ((row(ISSUED, **NAMED),), RENAMED, Cause.TO_BE_REPLACED, "name was corrected since"),
        (
            (row(ISSUED, name_digest="0123456711"),),
            RENAMED | {"integration": HERE},
            Cause.HAS_BADGE,
            "ada has the badge",
        ),
        (
            (row(reason=Reason.NAME_CORRECTED, replaces_badge_id="b-1"),),
            {},
            Cause.TO_BE_CANCELLED,
            "the achievement is not set to do so any more.",
        ),
        ((row(ISSUED),), {"awards": ()}, Cause.HAS_BADGE, "The platform no longer has a row of its award"),
        ((row(ISSUED),), {"awards": (), "deleted": {1}}, Cause.AWARD_GONE, "withdrawn afterwards."),
        ((row(ISSUED, award_id="a-2"),), {"awards": (GONE,)}, Cause.HAS_BADGE, "ada has the badge"),
        ((row(ISSUED, award_id="a-1"),), {"awards": (GONE,)}, Cause.AWARD_GONE, "withdrawn afterwards."),
        ((row(ISSUED, award_id="a-2", awarded_at=AWARDED),), {"awards": (GONE,)}, Cause.AWARD_GONE, "withdrawn"),
        ((row(),), {"awards": (), "deleted": {1}}, Cause.TO_BE_CANCELLED, "The award was withdrawn"),
        # blocked
        ((row(BLOCKED, reason=Reason.TOKEN_REFUSED),), {}, Cause.BLOCKED, "Credly refused the portal's token"),
        ((row(BLOCKED, reason=Reason.PORTAL_NOT_CONNECTED),), {}, Cause.TAKEN_UP, "which has been connected since "),
        (
            (row(BLOCKED, reason=Reason.PORTAL_NOT_CONNECTED),),
            {"connected_at": None},
            Cause.NOT_CONNECTED,
            "is not connected",
        ),
        ((row(BLOCKED, reason=Reason.TOKEN_REFUSED),), {"integration": None}, Cause.TO_BE_CANCELLED, "disabled"),
        # failed
        ((row(FAILED, **REFUSED, credly_message="No."),), {}, Cause.FAILED, "Credly's message: No."),
        ((row(FAILED, **REFUSED),), {"present_fingerprint": "f-2"}, Cause.CORRECTED, "It failed; since then"),
        (
            (row(FAILED, reason=Reason.NO_PRIMARY_EMAIL),),
            {"present_fingerprint": None, "cannot_be_sent": Reason.EMAIL_MALFORMED},
            Cause.FAILED,
            "is not an address.",
        ),
        ((row(FAILED, **REFUSED),), {"awards": (GONE,)}, Cause.TO_BE_CANCELLED, "The award was withdrawn"),
        # cancelled
        ((row(CANCELLED, **REMOVED),), {"integration": None}, Cause.CANCELLED, "Credly was disabled"),
        ((row(CANCELLED, **REMOVED),), {"integration": LATE}, Cause.CANCELLED, "Credly was disabled"),
        ((row(CANCELLED, **REMOVED),), {}, Cause.TAKEN_UP, "and is eligible again."),
        ((row(CANCELLED, **REMOVED),), {"integration": PAUSED}, Cause.PAUSED, "has been paused"),
        (
            (row(CANCELLED, reason=Reason.AWARD_WITHDRAWN, revoked_badge_id="b-1"),),
            {"awards": (GONE,)},
            Cause.CANCELLED,
            "The badge that was issued before was revoked.",
        ),
    ],
)
def test_each_cause_is_named_in_words(
    rows: tuple[LedgerRow, ...], changes: dict[str, Any], cause: Cause, words: str
) -> None:
    found = told(*rows, **changes)

    assert found.cause == cause
    assert words in found.sentence
    assert found.next.endswith(".")


def test_every_cause_has_been_named_above() -> None:
    (parameters,) = (mark.args[1] for mark in test_each_cause_is_named_in_words.pytestmark)

    assert {cause for _, _, cause, _ in parameters} == set(Cause)


def test_what_waits_says_until_when_and_that_credly_is_asked_first() -> None:
    found = told(row(not_before=LATER, reason=Reason.ANSWER_UNCLEAR, unclear_at=NOW))

    assert found.when == LATER
    assert f"after {LATER:%Y-%m-%d %H:%M:%S} UTC issues it; it is looked up at Credly first" in found.next


def test_what_replaces_a_badge_stands_again_where_it_is_no_longer_owed() -> None:
    found = told(row(replaces_badge_id="b-1"), awards=(GONE,))

    assert found.next == "The next run of reconcile keeps the badge that was to be replaced."


def test_a_later_award_says_when_it_goes_out() -> None:
    moment = f"{NEXT_WEEK.awarded_at:%Y-%m-%d %H:%M:%S} UTC"

    assert told(awards=(NEXT_WEEK,)).next == f"The first run of reconcile after {moment} issues it."
    assert told(row(CANCELLED, **REMOVED), awards=(NEXT_WEEK,)).next.startswith("The first run of reconcile after ")


@pytest.mark.parametrize(
    ("integration", "advice"),
    [
        (None, "Run enable-credly on the achievement. For awards made before, give issue_since; or run issue-badge."),
        (LATE, "The award is older than the integration covers: run issue-badge, or give an earlier issue_since."),
    ],
)
def test_what_was_cancelled_says_how_it_is_owed_again(integration: Integration | None, advice: str) -> None:
    assert told(row(CANCELLED, **REMOVED), integration=integration).advice == advice


def test_of_several_rows_the_badge_answers_then_the_one_under_way_then_the_pair_s_own() -> None:
    of_old_template = row(ISSUED, issuance_id=1, badge_template_id="t-0")
    waiting, replacing = row(issuance_id=3), row(issuance_id=2, badge_template_id="t-0", replaces_badge_id="b-0")
    under_way = row(ISSUING, issuance_id=1, badge_template_id="t-0", lease_until=LATER)
    cancelled = row(CANCELLED, issuance_id=4, badge_template_id="t-0", former=True, **REMOVED)

    def chosen(*rows: LedgerRow) -> int:
        found = History(user_id="ada", achievement_id="forklift", integration=HERE, rows=rows).row
        assert found is not None
        return found.issuance_id

    assert chosen(of_old_template, waiting) == 1
    assert chosen(replacing, waiting) == 2
    assert chosen(under_way, waiting) == 1
    assert chosen(waiting, cancelled) == 3
