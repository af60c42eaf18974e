"""Awards, read by key. models/platform/pages.py reads them in pages."""

import itertools
from collections import namedtuple
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    Connection,
    LargeBinary,
    String,
    and_,
    any_,
    bindparam,
    case,
    cast,
    literal,
    or_,
    select,
    tuple_,
    type_coerce,
)

from models.by_key import portions
from models.columns import (
    FIRST,
    LAST,
    PlatformKey,
    as_stored,
    in_utc,
    is_key,
    is_malformed,
    is_utf8,
    within_python_range,
)
from models.platform.isolation import (
    NO_KEY,
    Budget,
    Unreadable,
    is_isolating,
    only_where,
    read_in_halves,
    rows_by_key,
    savepoint,
    unreadable_value,
)
from models.platform.tables import Achievement, AchievementAward
from models.tables import table
from rules.ledger.eligibility import Award
from rules.ledger.reasons import AwardFault, UnusableAward, shortened
from rules.ledger.states import NO_MOMENT

awards = table(AchievementAward)
achievements = table(Achievement)
Key = tuple[str, str]  # achievement and user
KEY = (awards.c.achievement_id, awards.c.user_id)
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_NO_PAIR = (NO_KEY, NO_KEY)
_STATEMENTS = 1000  # that may search for awards which cannot be read
Moment = datetime | ColumnElement[datetime]


def withdrawn(now: Moment) -> ColumnElement[bool]:
    """Return the condition that the award is withdrawn at `now` (UTC)."""
    # A value that is no moment does not withdraw: it could be a mistake, and a badge could be revoked for it.
    return and_(awards.c.withdrawn_at.is_not(None), awards.c.withdrawn_at <= now, ~is_malformed(awards.c.withdrawn_at))


def not_withdrawn(now: Moment) -> ColumnElement[bool]:
    """Return the condition that the award has no withdrawal, or one in the future or at no moment."""
    return or_(awards.c.withdrawn_at.is_(None), awards.c.withdrawn_at > now, is_malformed(awards.c.withdrawn_at))


def is_after(order: Sequence[ColumnElement[Any]], row: Sequence[Any]) -> ColumnElement[bool]:
    values = [bound(value, column) for column, value in zip(order, row, strict=True)]
    # A row comparison, which both databases answer from an index in this order.
    return tuple_(*order) > tuple_(*values)


def bound(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(value, int | float | Decimal):
        return literal(value)  # a moment as seconds, perhaps with a fraction
    if not isinstance(value, str):
        return literal(value, type_=column.type)
    if is_utf8(value):
        # A moment too: SQLite's driver returns text.
        return literal(value, type_=column.type if isinstance(column.type, PlatformKey) else String())
    return cast(literal(value.encode("utf-8", "surrogateescape"), type_=LargeBinary()), String)


def valid_among(connection: Connection, keys: Collection[Key], *, now: datetime) -> set[Key]:
    """Return the pairs that have an award which is not withdrawn at `now` (UTC)."""
    of_these, condition = of_keys(connection, *KEY), not_withdrawn(now)
    isolated = only_where(of_these, condition) if is_isolating(connection) else and_(of_these, condition)
    query = select(*KEY).where(isolated)

    def read(some: Sequence[Key]) -> Iterator[Key]:
        return (row for part in by_achievement(some) for row in as_stored(connection, query, part))

    found, *unreadable = read_in_halves(
        connection, sorted(keys), read, budget=Budget(left=_STATEMENTS), no_row=_NO_PAIR
    )
    # As in `not_withdrawn`: what cannot be read does not withdraw.
    return {*found, *itertools.chain(*unreadable)}


def awards_of(
    connection: Connection, keys: Collection[Key], *, now: datetime, budget: Budget | None = None
) -> dict[Key, list[Award]]:
    """Return the awards of each pair, the oldest first, each with whether it is withdrawn at `now` (UTC).

    Without the pairs for which the budget did not suffice.
    """
    own = (awards.c.id, awards.c.achievement_id, awards.c.user_id)
    query = select(*own, *_OF_AWARD).where(of_keys(connection, *KEY))
    found: dict[Key, list[Award]] = {key: [] for key in keys}
    rows: Iterable[Any]
    if is_isolating(connection):
        rows, undecided = rows_of_pairs(connection, _OF_AWARD, sorted(keys), now=now, budget=budget or Budget())
        for key in undecided:
            del found[key]
    else:
        rows = (row for part in by_achievement(keys) for row in connection.execute(query, {**part, "now": now}))
    for award_id, achievement, user, awarded_at, is_withdrawn, withdrawn_at in rows:
        of_key = found.get((achievement, user))
        # None: the database's collation may ignore case, or the award's id cannot be in the ledger. Twice: a view
        # may return a row more than once.
        if of_key is None or award_id is None or any(award_id == other.award_id for other in of_key):
            continue
        of_key.append(
            Award(
                award_id=award_id,
                awarded_at=awarded_at or NO_MOMENT,
                withdrawn=bool(is_withdrawn),
                withdrawn_at=None if withdrawn_at == NO_MOMENT else withdrawn_at,
            )
        )
    for of_key in found.values():
        # In Python, since each way of reading has an order of its own. One without a moment is the last.
        of_key.sort(key=lambda award: (award.awarded_at, award.award_id))
    return found


_NOW = bindparam("now", type_=awards.c.withdrawn_at.type)
_OF_AWARD = (
    within_python_range(awards.c.awarded_at).label("moment"),
    withdrawn(_NOW).label("withdrawn"),
    # A moment outside Python's range is not shown; whether it has come is decided by the database.
    type_coerce(
        case((awards.c.withdrawn_at.between(FIRST, LAST), in_utc(awards.c.withdrawn_at))), awards.c.withdrawn_at.type
    ).label("withdrawn_moment"),
)


def rows_of_pairs(
    connection: Connection, columns: Sequence[ColumnElement[Any]], keys: Sequence[Key], *, now: datetime, budget: Budget
) -> tuple[list[Any], list[Key]]:
    """Return the awards of these pairs with these columns, read in isolating mode: id, achievement and user first.

    Also the pairs for which the budget did not suffice. An award whose id cannot be read is left out.
    """

    def read(some: Iterable[Key], *more: ColumnElement[Any], award_id: str | None = None) -> list[Any]:
        # By pair and not by id: a view's id that cannot be read would end each search by id.
        of_pairs = of_keys(connection, *KEY)
        condition = of_pairs if award_id is None else only_where(of_pairs, awards.c.id == award_id)
        query = select(awards.c.id, *KEY, *more).where(condition)
        return [row for part in by_achievement(some) for row in connection.execute(query, {**part, "now": now})]

    def by_column(key: Key) -> Iterator[Any]:
        with suppress(Unreadable):
            with savepoint(connection):
                ids = read([key])
            for each in ids:
                values = {"id": each.id, "achievement_id": key[0], "user_id": key[1]}
                for column in columns:
                    values[column.name] = unreadable_value(column.type)
                    with suppress(Unreadable), savepoint(connection):
                        values[column.name] = read([key], column, award_id=each.id)[0][-1]
                yield namedtuple("Row", values)(**values)

    rows, unreadable, undecided = read_in_halves(
        connection, keys, lambda some: read(some, *columns), budget=budget, no_row=_NO_PAIR
    )
    return [*rows, *(row for key in unreadable for row in by_column(key))], undecided


def present_among(connection: Connection, award_ids: Iterable[str]) -> set[str]:
    """Return those of these awards that exist on the platform, of whichever user."""

    def read(some: Sequence[str]) -> Iterable[str]:
        return connection.execute(select(awards.c.id).where(awards.c.id.in_(some))).scalars()

    ids = list(award_ids)
    try:
        found = [read_in_halves(connection, some, read, budget=Budget(), no_row=NO_KEY) for some in portions(ids)]
    except Unreadable:
        return set(ids)  # as far as is known: then none of them counts as deleted
    return {each for of_part in found for part in of_part for each in part}


def unusable_among(rows: Iterable[tuple[Any, ...]]) -> frozenset[UnusableAward]:
    """Return those of these awards whose achievement or user the ledger cannot have.

    A row has the award's id, its achievement and its user, as stored.
    """
    without_achievement = [row for row in rows if not is_key(row[1])]
    without_user = [row for row in rows if is_key(row[1]) and not is_key(row[2])]
    return _unusable(AwardFault.WITHOUT_ACHIEVEMENT, without_achievement) | _unusable(
        AwardFault.WITHOUT_USER, without_user
    )


def awards_without_id(connection: Connection, keys: Collection[Key]) -> frozenset[UnusableAward]:
    """Return the awards of these pairs whose own id the ledger cannot have."""
    query = select(awards.c.id, *KEY).where(of_keys(connection, *KEY))

    def read(some: Sequence[Key]) -> list[tuple[Any, ...]]:
        return [row for part in by_achievement(some) for row in as_stored(connection, query, part)]

    rows, unreadable, _ = read_in_halves(connection, sorted(keys), read, budget=Budget(left=_STATEMENTS))
    found = [row for row in rows if not is_key(row[0]) and row[1:] in keys]
    return _unusable(AwardFault.WITHOUT_ID, [*found, *((None, *key) for key in unreadable)])


def _unusable(fault: AwardFault, rows: Iterable[tuple[Any, ...]]) -> frozenset[UnusableAward]:
    return frozenset(
        UnusableAward(
            fault=fault,
            award_id=shortened(row[0]),
            achievement_id=row[1] if is_key(row[1]) else shortened(row[1]),
            identity=hash(row),
        )
        for row in rows
    )


def without_portal(connection: Connection, achievement_ids: Iterable[str]) -> frozenset[UnusableAward]:
    """Return those of these achievements that exist and have no portal which the ledger could have."""
    query = select(achievements.c.id, achievements.c.portal_id)
    found = rows_by_key(connection, query.where(achievements.c.id.in_(_KEYS)), achievement_ids)
    return frozenset(
        UnusableAward(fault=AwardFault.WITHOUT_PORTAL, achievement_id=key)
        for key, row in found.items()
        if row.portal_id is None
    )


def portals_of(connection: Connection, achievement_ids: Iterable[str]) -> dict[str, str]:
    query = select(achievements.c.id, achievements.c.portal_id)
    found = rows_by_key(connection, query.where(achievements.c.id.in_(_KEYS)), achievement_ids)
    return {key: row.portal_id for key, row in found.items() if row.portal_id is not None}


def of_keys(
    connection: Connection, achievement_id: ColumnElement[str], user_id: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the condition for the pairs of one parameter set of `by_achievement`."""
    # One array: PostgreSQL takes 2 ms to plan a thousand parameters.
    users = bindparam("users", type_=ARRAY(user_id.type))
    on_postgresql = connection.dialect.name == "postgresql"
    of_users = user_id == any_(users) if on_postgresql else user_id.in_(bindparam("users", expanding=True))
    return and_(achievement_id == bindparam("achievement"), of_users)


def by_achievement(keys: Iterable[Key]) -> Iterator[dict[str, Any]]:
    """Yield parameter sets for `of_keys`: users by achievement, in lists that fit into a statement."""
    grouped: dict[str, list[str]] = {}
    for achievement_id, user_id in keys:
        grouped.setdefault(achievement_id, []).append(user_id)
    for achievement_id, users in grouped.items():
        for part in portions(users):
            yield {"achievement": achievement_id, "users": part}
