"""What stands open, and when badges were issued last, on both databases."""

from datetime import datetime, timedelta

from models.database import Database
from models.ledger.tables import AttemptKind, AttemptOutcome
from models.operations.open_counts import last_issued, pending_counts
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.run_page import PendingCount
from tests.support.factories import NOW, an_attempt, an_integration, an_issuance

LATER = NOW + timedelta(hours=3)


async def test_what_is_pending_is_counted_by_what_it_waits_for(database: Database) -> None:
    await an_integration(database, achievement="forklift")
    await an_integration(database, achievement="boat", paused_at=NOW, held_at=NOW)
    await an_integration(database, achievement="crane", held_at=NOW)
    for user, moment in (("ada", LATER), ("bob", NOW)):
        await an_issuance(database, user=user, not_before=moment, reason=Reason.THROTTLED)
    await an_issuance(database, user="eve", not_before=NOW)
    await an_issuance(database, achievement="boat", not_before=NOW)
    await an_issuance(database, achievement="crane", not_before=NOW)
    await an_issuance(database, achievement="gone", portal="south", not_before=LATER)
    await an_issuance(database, user="dan", state=IssuanceState.ISSUED)

    everywhere = await database.read(pending_counts)
    in_south = await database.read(pending_counts, portal_ids=["south"])

    def a(
        portal: str, reason: Reason | None, stop: str, count: int, next_at: datetime, achievement: str = ""
    ) -> PendingCount:
        return PendingCount(
            portal_id=portal, achievement_id=achievement, reason=reason, stop=stop, count=count, next_at=next_at
        )

    expected = [
        a("northwind", None, "", 1, NOW),
        a("northwind", None, "held", 1, NOW, "crane"),
        a("northwind", None, "paused", 1, NOW, "boat"),
        a("northwind", Reason.THROTTLED, "", 2, NOW),
        a("south", None, "", 1, LATER),
    ]
    assert sorted(everywhere, key=str) == sorted(expected, key=str)
    assert in_south == [a("south", None, "", 1, LATER)]


async def test_the_latest_badges_are_known_by_their_moments_the_latest_first(database: Database) -> None:
    issuance = await an_issuance(database)
    assert await database.read(last_issued) == []

    await an_attempt(database, issuance=issuance, started_at=NOW, outcome=AttemptOutcome.UNCLEAR)
    await an_attempt(database, issuance=issuance, started_at=LATER, outcome=AttemptOutcome.REFUSED)
    assert await database.read(last_issued) == [NOW]  # none since

    for hours in (1, 2):
        await an_attempt(database, issuance=issuance, started_at=NOW + timedelta(hours=hours))
    await an_attempt(database, issuance=issuance, kind=AttemptKind.LOOK_UP, outcome=AttemptOutcome.FOUND)
    assert await database.read(last_issued) == [NOW + timedelta(hours=2), NOW + timedelta(hours=1)]
