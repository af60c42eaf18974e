"""Issuances whose awards were withdrawn."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.planning.deletions import Deletions
from models.planning.pairs import by_key, issuance_pages, rows_among, setup_of
from models.platform.awards import Key, awards_of
from models.platform.pages import withdrawn_after
from models.tables import table
from rules.ledger.eligibility import Issuance, Pair
from rules.ledger.withdrawal import Loss, is_withdrawn

issuances = table(BadgeIssuance)
_PAGE_SIZE = 5_000


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """Issuances whose awards are withdrawn, the oldest first, and the portals that lost too many awards at once."""

    rows: list[tuple[Key, Issuance]]
    lost: tuple[Loss, ...] = ()

    @property
    def ids(self) -> list[int]:
        return [row.issuance_id for _, row in self.rows]


async def withdrawn_among(
    database: Database, *among: ColumnElement[bool], portal_ids: Collection[str], now: datetime
) -> Withdrawn:
    """Return those issuances of these portals whose awards are withdrawn at `now` (UTC).

    Reads the withdrawn awards, which are few; and all issuances of the portals in which a deleted award counts as
    withdrawn.
    """
    setup = await database.read(setup_of)
    deletions = Deletions(database, setup, now=now)
    found: dict[int, tuple[Key, Issuance]] = {}
    async for rows in _candidates(database, among, portal_ids, deletions.may_count, now):
        pairs = by_key(rows)
        awards = await database.platform.read(awards_of, pairs, now=now)
        deleted = await deletions.deleted(pairs, awards)
        for key, row in rows:
            if is_withdrawn(Pair(awards=awards[key], deleted=deleted), row):
                found[row.issuance_id] = (key, row)
    return Withdrawn(rows=[found[each] for each in sorted(found)], lost=deletions.lost)


async def _candidates(
    database: Database,
    among: Sequence[ColumnElement[bool]],
    portal_ids: Collection[str],
    deletions_may_count: frozenset[str],
    now: datetime,
) -> AsyncIterator[list[tuple[Key, Issuance]]]:
    following: Key | None = ("", "")
    while following is not None:
        keys, following = await database.platform.read(withdrawn_after, following, size=_PAGE_SIZE, now=now)
        yield await database.read(rows_among, keys, issuances.c.portal_id.in_(portal_ids), *among)
    if may_count := sorted(deletions_may_count.intersection(portal_ids)):
        async for rows in issuance_pages(
            database, issuances.c.portal_id.in_(may_count), *among, size=_PAGE_SIZE, whole=True
        ):
            yield rows
