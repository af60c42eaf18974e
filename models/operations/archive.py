"""Which transitions and calls can be moved out of the ledger, and their deletion once a file has them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, Table, and_, delete, exists, func, not_, select, type_coerce
from sqlalchemy.types import Enum

from models.ledger.conditions import is_outstanding
from models.ledger.history import IssuanceTransition
from models.ledger.tables import BadgeIssuance, IssuanceAttempt
from models.operations.open_counts import LATEST_ATTEMPTS
from models.operations.retention import FINAL_STATES
from models.tables import table
from rules.datasets import Dataset

history, attempts, issuances = table(IssuanceTransition), table(IssuanceAttempt), table(BadgeIssuance)
_later = history.alias("later")
_newest = select(func.max(attempts.c.id)).scalar_subquery()
# Each log with its moment, and what stays of it although its issuance is at rest: the last transition, which is the
# state that the issuance has had since; the calls by which alerts judge a pause.
_LOGS: dict[Dataset, tuple[Table, str, ColumnElement[bool]]] = {
    Dataset.HISTORY: (
        history,
        "at",
        not_(exists().where(_later.c.issuance_id == history.c.issuance_id, _later.c.id > history.c.id)),
    ),
    Dataset.ATTEMPTS: (attempts, "started_at", attempts.c.id > _newest - LATEST_ATTEMPTS),
}


def oldest(connection: Connection, log: Dataset, *, end: datetime) -> datetime | None:
    """Return the moment of the oldest row that can be moved."""
    source, moment, _ = _LOGS[log]
    first: datetime | None = connection.scalar(select(func.min(source.c[moment])).where(_movable(log, end)))
    return first


def rows(
    connection: Connection, log: Dataset, names: Sequence[str], *, end: datetime, size: int
) -> Iterator[Mapping[str, Sequence[Any]]]:
    """Yield these columns of the rows that can be moved, in the order of their ids, which are the first column."""
    source, *_ = _LOGS[log]
    columns = [source.c.id, *(source.c[name] for name in names[1:])]
    plain = [type_coerce(each, String) if isinstance(each.type, Enum) else each for each in columns]
    query = select(*plain).where(_movable(log, end)).order_by(source.c.id)
    with connection.execute(query, execution_options={"yield_per": size}) as result:
        for part in result.partitions(size):
            yield dict(zip(names, zip(*part, strict=True), strict=True))


def _movable(log: Dataset, end: datetime) -> ColumnElement[bool]:
    # All of an issuance or nothing: answers about the time since need what led to a state that has changed since.
    source, moment, stays = _LOGS[log]
    of_issuance = issuances.c.id == source.c.issuance_id
    at_rest = exists().where(of_issuance, issuances.c.state.in_(FINAL_STATES), not_(is_outstanding()))
    changed_since = exists().where(_later.c.issuance_id == source.c.issuance_id, _later.c.at >= end)
    return and_(source.c[moment] < end, at_rest, not_(changed_since), not_(stays))


def is_kept(connection: Connection, log: Dataset, row_id: int) -> bool:
    source, *_ = _LOGS[log]
    return connection.scalar(select(source.c.id).where(source.c.id == row_id)) is not None


def delete_rows(connection: Connection, log: Dataset, ids: Sequence[int]) -> int:
    source, *_ = _LOGS[log]
    return connection.execute(delete(source).where(source.c.id.in_(ids))).rowcount
