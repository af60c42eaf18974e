"""What the ledger and the stand-in say after a run, in counts only: nobody's name or address is read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, Row, func, select

from models.database import Database
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.platform.tables import AchievementAward
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState

issuances = table(BadgeIssuance)
attempts = table(IssuanceAttempt)
awards = table(AchievementAward)
connections = table(CredlyConnection)
integrations = table(CredlyIntegration)

NO_INTEGRATION = "The achievement has no Credly integration."
WITHDRAWN = "The award was withdrawn again before any run."
AWARDED_AGAIN = "The user was awarded the same achievement before: one badge is enough."


@dataclass(frozen=True, kw_only=True)
class StateCount:
    state: IssuanceState
    reason: Reason | None
    count: int

    @property
    def sentence(self) -> str:
        return self.reason.sentence if self.reason else self.state.sentence


@dataclass(frozen=True, kw_only=True)
class LedgerCounts:
    by_state: tuple[StateCount, ...]
    issued_by_organization: dict[str, int]
    calls: int
    adopted: int

    def of(self, *states: IssuanceState) -> int:
        return sum(row.count for row in self.by_state if row.state in states)

    @property
    def issued(self) -> int:
        return self.of(IssuanceState.ISSUED)


async def count_ledger(database: Database) -> LedgerCounts:
    return await database.read(_counts)


def _counts(connection: Connection) -> LedgerCounts:
    by_state = (
        select(issuances.c.state, issuances.c.reason, func.count().label("count"))
        .group_by(issuances.c.state, issuances.c.reason)
        .order_by(issuances.c.state, func.count().desc())
    )
    by_organization = (
        select(connections.c.organization_id, func.count(issuances.c.id))
        .join(issuances, issuances.c.portal_id == connections.c.portal_id)
        .where(issuances.c.state == IssuanceState.ISSUED)
        .group_by(connections.c.organization_id)
    )
    rows = [StateCount(state=row.state, reason=row.reason, count=row[2]) for row in connection.execute(by_state)]
    issued = {row[0]: row[1] for row in connection.execute(by_organization)}
    adopted = connection.execute(select(func.count()).where(issuances.c.adopted)).scalar_one()
    calls = connection.execute(select(func.count()).select_from(attempts)).scalar_one()
    order = list(IssuanceState)
    rows.sort(key=lambda row: (row.state is not IssuanceState.ISSUED, order.index(row.state), -row.count))
    return LedgerCounts(by_state=tuple(rows), issued_by_organization=issued, calls=calls, adopted=adopted)


async def count_awards_without_row(database: Database) -> dict[str, int]:
    """Count the awards for which the ledger has no row, by the sentence that says why."""
    moment = datetime.now(UTC)
    in_ledger = await database.read(_keys, issuances.c.award_id)
    enabled = await database.read(_keys, integrations.c.achievement_id)
    found: Counter[str] = Counter()
    for award in await database.platform.read(_awards):
        if award.id in in_ledger:
            continue
        if award.achievement_id not in enabled:
            found[NO_INTEGRATION] += 1
        elif award.withdrawn_at is not None and award.withdrawn_at <= moment:
            found[WITHDRAWN] += 1
        else:
            found[AWARDED_AGAIN] += 1
    return dict(sorted(found.items()))


def _keys(connection: Connection, column: Column[Any]) -> set[str]:
    return set(connection.execute(select(column)).scalars())


def _awards(connection: Connection) -> Sequence[Row[str, str, datetime | None]]:
    return connection.execute(select(awards.c.id, awards.c.achievement_id, awards.c.withdrawn_at)).all()


async def one_badge_url(database: Database) -> str | None:
    """Return the address of one issued badge's page, one with evidence if there is such a badge."""
    return await database.read(_badge_url)


def _badge_url(connection: Connection) -> str | None:
    query = (
        select(issuances.c.badge_url)
        .where(issuances.c.state == IssuanceState.ISSUED)
        .order_by((issuances.c.evidence_sent == "").asc(), func.length(issuances.c.evidence_sent).desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()
