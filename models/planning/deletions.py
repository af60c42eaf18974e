"""Awards whose rows were deleted on the platform: in which portals that counts as a withdrawal."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_

from models.database import Database
from models.ledger.tables import BadgeIssuance
from models.operations.erasure import NOT_ERASED
from models.planning.pairs import Setup, by_key, issuance_pages
from models.platform.awards import Key, awards_of, present_among
from models.tables import table
from rules.ledger.eligibility import Award, Issuance, Pair
from rules.ledger.outcome import LIVE_STATES
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.withdrawal import Loss, holds_no_award, is_missing

issuances = table(BadgeIssuance)
_PAGE_SIZE = 5_000
VALID_AT_CREDLY: ColumnElement[bool] = or_(
    issuances.c.credly_state.is_(None), issuances.c.credly_state.in_(LIVE_STATES)
)
_COUNTED = and_(
    issuances.c.origin == Origin.AWARD,
    issuances.c.state != IssuanceState.CANCELLED,
    or_(issuances.c.state != IssuanceState.ISSUED, VALID_AT_CREDLY),
    NOT_ERASED,
)


class Deletions:
    """Finds deleted awards that count as withdrawn, and portals that lost too many at once for that.

    A portal's loss is counted when one of its awards is missing, and again when more are missing than were counted: its
    awards may be being reloaded at this moment.
    """

    def __init__(self, database: Database, setup: Setup, *, now: datetime) -> None:
        self._database, self._now = database, now
        # The portals in which an award whose row is deleted may count as withdrawn, if the mapping agrees.
        self.may_count = setup.deletions_may_count if database.platform.mapping.deletion_withdraws else frozenset()
        self._losses: dict[str, Loss] = {}
        self._seen = Counter[str]()

    @property
    def lost(self) -> tuple[Loss, ...]:
        """The portals of which too many awards are missing, so that none of them counts as withdrawn."""
        return tuple(loss for _, loss in sorted(self._losses.items()) if loss.is_large)

    async def deleted(
        self, rows: Mapping[Key, Sequence[Issuance]], awards: Mapping[Key, Sequence[Award]]
    ) -> frozenset[int]:
        """Return the ids of those of these rows whose awards are deleted, where that counts as a withdrawal."""
        may_count = self.may_count
        found = [
            row
            for key, of_key in rows.items()
            for row in of_key
            if row.portal_id in may_count and holds_no_award(Pair(awards=awards.get(key, ())), row)
        ]
        if not found:
            return frozenset()
        # An award that another user has now was moved, for example because two accounts were merged.
        moved = await self._database.platform.read(present_among, [row.award_id for row in found if row.award_id])
        found = [row for row in found if row.award_id not in moved]
        missing = Counter(row.portal_id for row in found if row.origin is Origin.AWARD)
        self._seen += missing
        # Counting a portal reads all of its issuances, so it is done once, and again only if the count is outdated.
        outdated = [
            each for each in missing if each not in self._losses or self._seen[each] > self._losses[each].missing
        ]
        if outdated:
            self._losses |= await losses_of(self._database, portal_ids=outdated, now=self._now)
            self._seen = Counter({key: count for key, count in self._seen.items() if key not in outdated})
        return frozenset(row.issuance_id for row in found if not self._is_large(row.portal_id))

    def _is_large(self, portal_id: str) -> bool:
        return portal_id in self._losses and self._losses[portal_id].is_large


async def large_losses(database: Database, *, portal_ids: Collection[str] | None = None, now: datetime) -> list[Loss]:
    """Return the portals (of these, if given) of which too many awards are missing at once."""
    losses = await losses_of(database, portal_ids=portal_ids, now=now)
    return [loss for _, loss in sorted(losses.items()) if loss.is_large]


async def losses_of(database: Database, *, portal_ids: Collection[str] | None, now: datetime) -> dict[str, Loss]:
    """Count the awards behind the portals' issuances, and those of them that are missing on the platform."""
    of_portals = [] if portal_ids is None else [issuances.c.portal_id.in_(portal_ids)]
    missing, counted = Counter[str](), Counter[str]()
    async for rows in issuance_pages(database, _COUNTED, *of_portals, size=_PAGE_SIZE, whole=True):
        awards = await database.platform.read(awards_of, by_key(rows), now=now)
        missing.update(row.portal_id for key, row in rows if is_missing(Pair(awards=awards[key]), row))
        counted.update(row.portal_id for _, row in rows)
    portals = counted.keys() | set(portal_ids or ())
    return {each: Loss(portal_id=each, missing=missing[each], awards=counted[each]) for each in portals}
