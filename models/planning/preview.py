"""What planning would enter, for previews and forms. Nothing is written."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

from models.columns import platform_moment
from models.database import Database
from models.planning.moved import moved_to
from models.planning.pairs import ended_among, rows_of
from models.planning.planner import Planning, begin, keys_of_page, next_awards
from models.planning.writing import PlatformRows, pairs_of
from models.platform.awards import Key, awards_of
from rules.ledger.eligibility import Pair
from rules.ledger.erasure import is_erased
from rules.ledger.reasons import UnusableAward


async def new_pairs(planning: Planning) -> AsyncIterator[tuple[Key, Pair]]:
    """Yield the covered pairs without an active issuance, with awards and rows, for a preview. Writes nothing."""
    cursor: Key | None = ("", "")
    while cursor is not None:
        page = await next_awards(planning, cursor)
        keys = await keys_of_page(planning, page)
        awards = await planning.database.platform.read(awards_of, keys, now=planning.now, budget=planning.budget)
        rows = await planning.database.read(rows_of, awards)
        platform_rows = PlatformRows(awards=awards, portals=planning.portals)
        moved = await moved_to(planning.database, awards, awards, now=planning.now)
        for key, pair in pairs_of(rows, platform_rows, planning.setup, deleted=()).items():
            yield key, replace(pair, moved=moved.get(key))
        cursor = page.following


@dataclass(frozen=True, kw_only=True)
class DueAtOnce:
    """How many badges an integration makes due at once, and the awards that cannot become one."""

    due: int
    unusable: frozenset[UnusableAward]


async def count_due_at_once(database: Database, achievement_id: str, *, now: datetime) -> int:
    """Count the users whom the current integration of an achievement makes due at once: awarded, no badge yet.

    A badge of an earlier template counts as a badge, as in planning.
    """
    return (await due_at_once(database, achievement_id, now=now)).due


async def due_at_once(database: Database, achievement_id: str, *, now: datetime) -> DueAtOnce:
    """Return the same count, with the awards that the ledger cannot have."""
    planning, mapping = await begin(database, now=now), database.platform.mapping
    due, cursor = 0, (achievement_id, "") if achievement_id in planning.covered else None
    unusable = frozenset[UnusableAward]()
    while cursor is not None:
        page = await next_awards(planning, cursor, within=achievement_id)
        coverage = planning.setup.coverages[achievement_id]
        keys = {
            (of_award, user_id)
            for of_award, user_id, stored in page.awards
            if coverage.covers_from <= platform_moment(stored, mapping) <= now
            and of_award == achievement_id
            and not is_erased(user_id, planning.erased)
        }
        due += len(keys - await database.read(ended_among, keys))
        unusable |= page.unusable
        cursor = page.following
    return DueAtOnce(due=due, unusable=unusable)
