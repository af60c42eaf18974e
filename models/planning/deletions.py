"""Awards whose rows are gone from the platform: in which portals that counts as a withdrawal."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from models.database import Database
from models.ledger import BadgeIssuance
from models.planning.pairs import Setup, issuances_behind
from models.platform.awards import Key, awards_of
from models.tables import table
from rules.ledger.eligibility import Award, Issuance, Pair, is_missing
from rules.states import IssuanceState, Origin
from rules.withdrawal import Loss

issuances = table(BadgeIssuance)
_AT_A_TIME = 5_000
VALID_AT_CREDLY: ColumnElement[bool] = or_(
    issuances.c.credly_state.is_(None), issuances.c.credly_state.in_(["pending", "accepted"])
)
_COUNTED = and_(
    issuances.c.origin == Origin.AWARD,
    issuances.c.state != IssuanceState.CANCELLED,
    or_(issuances.c.state != IssuanceState.ISSUED, VALID_AT_CREDLY),
)


class Deletions:
    """Finds the portals in which a missing award counts, and those that have lost too many at once for that.

    A portal is looked at once, and only where an award is missing.
    """

    def __init__(self, database: Database, setup: Setup, *, now: datetime) -> None:
        self._database, self._setup, self._now = database, setup, now
        self._looked_at: dict[str, Loss] = {}

    @property
    def lost(self) -> tuple[Loss, ...]:
        """The portals of whose awards too many are missing, so that none counts as withdrawn by that."""
        return tuple(loss for _, loss in sorted(self._looked_at.items()) if loss.is_large)

    async def counting(
        self, rows: Mapping[Key, Sequence[Issuance]], awards: Mapping[Key, Sequence[Award]]
    ) -> frozenset[str]:
        """Return the portals of these rows in which a missing award counts as withdrawn."""
        missing = {
            row.portal_id
            for key, of_key in rows.items()
            for row in of_key
            if row.portal_id in self._setup.deletions_may_count and _misses(row, awards.get(key, ()))
        }
        for portal_id in missing - self._looked_at.keys():
            self._looked_at[portal_id] = await loss_of(self._database, portal_id, now=self._now)
        return frozenset(portal for portal in missing if not self._looked_at[portal].is_large)


async def large_losses(database: Database, *, portal_ids: Collection[str] | None = None, now: datetime) -> list[Loss]:
    """Return the portals (of these, if given) of whose awards too many are missing from the platform at once."""
    portals = await database.read(_portals) if portal_ids is None else sorted(portal_ids)
    losses = [await loss_of(database, portal_id, now=now) for portal_id in portals]
    return [loss for loss in losses if loss.is_large]


def _portals(connection: Connection) -> list[str]:
    query = select(issuances.c.portal_id).distinct().order_by(issuances.c.portal_id)
    return list(connection.execute(query).scalars())


async def loss_of(database: Database, portal_id: str, *, now: datetime) -> Loss:
    """Count the awards behind a portal's issuances, and those of them that the platform has not."""
    after = missing = counted = 0
    while True:
        rows = await database.read(
            issuances_behind, after, _COUNTED, issuances.c.portal_id == portal_id, size=_AT_A_TIME
        )
        awards = await database.platform.read(awards_of, _keys(rows), now=now)
        missing += sum(_misses(row, awards[key]) for key, row in rows)
        counted += len(rows)
        if len(rows) < _AT_A_TIME:
            return Loss(portal_id=portal_id, missing=missing, awards=counted)
        after = rows[-1][1].issuance_id


def _keys(rows: Iterable[tuple[Key, Issuance]]) -> Collection[Key]:
    return dict.fromkeys(key for key, _ in rows)


def _misses(row: Issuance, awards: Sequence[Award]) -> bool:
    return is_missing(Pair(awards=awards), row)
