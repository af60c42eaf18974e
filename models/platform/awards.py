"""Awards, read in pages and by key."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
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
    is_integer_key,
    is_key,
    is_malformed,
    is_utf8,
    mapping_of_dialect,
    platform_moment,
    within_python_range,
)
from models.platform.tables import Achievement, AchievementAward
from models.tables import table
from rules.ledger.eligibility import Award
from rules.ledger.states import NO_MOMENT

awards = table(AchievementAward)
achievements = table(Achievement)
Key = tuple[str, str]  # achievement and user
Awarded = tuple[str, str, object]  # achievement, user, and the stored moment, for `platform_moment`
_KEY = (awards.c.achievement_id, awards.c.user_id)
_BY_MOMENT = (awards.c.awarded_at, *_KEY)


@dataclass(frozen=True, kw_only=True)
class Page:
    """Awards after a key that are not withdrawn. `rows` is the number of awards read.

    `following` is where the next page begins, None on the last page.
    """

    after: Key
    awards: Sequence[Awarded]
    rows: int
    following: Key | None = None


Moment = datetime | ColumnElement[datetime]


def withdrawn(now: Moment) -> ColumnElement[bool]:
    """Return the condition that the award is withdrawn at `now` (UTC)."""
    # A value that is no moment does not withdraw: it could be a mistake, and a badge could be revoked for it.
    return and_(awards.c.withdrawn_at.is_not(None), awards.c.withdrawn_at <= now, ~is_malformed(awards.c.withdrawn_at))


def not_withdrawn(now: Moment) -> ColumnElement[bool]:
    """Return the condition that the award has no withdrawal, or one in the future or at no moment."""
    return or_(awards.c.withdrawn_at.is_(None), awards.c.withdrawn_at > now, is_malformed(awards.c.withdrawn_at))


def page_after(
    connection: Connection, after: Key, *, size: int, now: datetime, since: datetime, within: str | None = None
) -> Page:
    """Return the awards after a key by achievement and user, without those before the moment `since` (UTC)."""
    part = is_after(_KEY, after)
    if within is not None:
        part = and_(awards.c.achievement_id == within, awards.c.user_id > after[1])
    found, reached = _page(connection, _KEY, part, size=size, now=now, since=since)
    following = None if reached is None else (reached[0], reached[1])
    return Page(after=after, awards=_covered(found), rows=len(found), following=following)


def awarded_between(
    connection: Connection,
    after: datetime,
    until: datetime,
    *,
    following: Sequence[Any] | None,
    size: int,
    now: datetime,
    since: datetime,
) -> tuple[Sequence[Awarded], Sequence[Any] | None]:
    """Return a page of the awards of a period (start excluded, end included) and where the next page begins.

    None: there is no next page. A bulk load may give a million awards one moment, so a page may end between them.
    """
    part = _period(after, until)
    if following is not None:
        part = and_(
            part, awards.c.awarded_at >= _bound(following[0], awards.c.awarded_at), is_after(_BY_MOMENT, following)
        )
    found, reached = _page(connection, _BY_MOMENT, part, size=size, now=now, since=since)
    return _covered(found), reached


def newest_awards(
    connection: Connection, after: datetime, until: datetime, *, count: int, now: datetime, since: datetime
) -> Sequence[Awarded]:
    """Return the newest `count` awards of a period."""
    query = select(*_read(connection, now, since)).where(_period(after, until)).order_by(awards.c.awarded_at.desc())
    return _covered(as_stored(connection, query.limit(count), moments=False))


def _period(after: datetime, until: datetime) -> ColumnElement[bool]:
    return and_(awards.c.awarded_at > after, awards.c.awarded_at <= until)


_Read = tuple[Any, ...]  # achievement, user, moment, and whether an integration may cover it


def _page(
    connection: Connection,
    order: Sequence[ColumnElement[Any]],
    part: ColumnElement[bool],
    *,
    size: int,
    now: datetime,
    since: datetime,
) -> tuple[Sequence[_Read], _Read | None]:
    """Return the next rows in this order, and where the next page begins."""
    # One statement: without an index in this order, each reads the whole table. Not NULL, after which nothing is.
    read = select(*_read(connection, now, since)).where(part)
    query = read.where(*(column.is_not(None) for column in order))
    found = as_stored(connection, query.order_by(*order).limit(size), moments=False)
    if len(found) < size:
        return found, None
    achievement, user, moment, _ = found[-1]
    if isinstance(moment, datetime):
        moment = platform_moment(moment, mapping_of_dialect(connection.dialect))
    last = (achievement, user) if order is _KEY else (moment, achievement, user)
    # The database's collation may find further rows equal to the last one, which are not after it.
    equal = (column == _bound(value, column) for column, value in zip(order, last, strict=True))
    more = as_stored(connection, read.where(*equal), moments=False)
    return list(dict.fromkeys([*found, *more])), last


def is_after(order: Sequence[ColumnElement[Any]], row: Sequence[Any]) -> ColumnElement[bool]:
    values = [_bound(value, column) for column, value in zip(order, row, strict=True)]
    # A row comparison, which both databases answer from an index in this order.
    return tuple_(*order) > tuple_(*values)


def _bound(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(value, int | float | Decimal):
        return literal(value)  # a moment as seconds, perhaps with a fraction
    if not isinstance(value, str):
        return literal(value, type_=column.type)
    if is_utf8(value):
        # A moment too: SQLite's driver returns text.
        return literal(value, type_=column.type if isinstance(column.type, PlatformKey) else String())
    return cast(literal(value.encode("utf-8", "surrogateescape"), type_=LargeBinary()), String)


def _read(connection: Connection, now: datetime, since: datetime) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of a row that is read (`_Read`)."""
    # Also those whose moment is none: they get an issuance with that reason.
    moment = awards.c.awarded_at
    in_reach = or_(moment >= since, moment < FIRST, moment.is_(None), is_malformed(moment))
    # Made text by the database, which takes less time than in Python.
    keys = (cast(key, String) if is_integer_key(key, connection.dialect) else key for key in _KEY)
    return *keys, within_python_range(moment), and_(not_withdrawn(now), in_reach)


def _covered(rows: Iterable[_Read]) -> Sequence[Awarded]:
    return [row[:3] for row in rows if row[3] and is_key(row[1])]


def valid_among(connection: Connection, keys: Collection[Key], *, now: datetime) -> set[Key]:
    """Return the pairs that have an award which is not withdrawn at `now` (UTC)."""
    query = select(*_KEY).where(of_keys(connection, *_KEY), not_withdrawn(now))
    return {row for part in by_achievement(keys) for row in as_stored(connection, query, part)}


def awards_of(connection: Connection, keys: Collection[Key], *, now: datetime) -> dict[Key, list[Award]]:
    """Return the awards of each pair, the oldest first, each with whether it is withdrawn at `now` (UTC)."""
    own = (awards.c.id, awards.c.achievement_id, awards.c.user_id)
    # A moment outside Python's range is not shown; whether it has come is decided by the database.
    shown = case((awards.c.withdrawn_at.between(FIRST, LAST), in_utc(awards.c.withdrawn_at)))
    query = select(
        *own,
        within_python_range(awards.c.awarded_at),
        withdrawn(now),
        type_coerce(shown, awards.c.withdrawn_at.type),
    )
    query = query.where(of_keys(connection, *_KEY)).order_by(awards.c.awarded_at, awards.c.id)
    found: dict[Key, list[Award]] = {key: [] for key in keys}
    for part in by_achievement(keys):
        for award_id, achievement, user, awarded_at, is_withdrawn, withdrawn_at in connection.execute(query, part):
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
        of_key.sort(key=lambda award: award.awarded_at)  # one without a moment is the last
    return found


def withdrawn_after(connection: Connection, after: Key, *, size: int, now: datetime) -> tuple[list[Key], Key | None]:
    """Return the next pairs that have a withdrawn award at `now` (UTC), and where the next page begins."""
    part = and_(is_after(_KEY, after), withdrawn(now))
    found, reached = _page(connection, _KEY, part, size=size, now=now, since=now)
    following = None if reached is None else (reached[0], reached[1])
    return list(dict.fromkeys((row[0], row[1]) for row in found if is_key(row[0]) and is_key(row[1]))), following


def present_among(connection: Connection, award_ids: Iterable[str]) -> set[str]:
    """Return those of these awards that exist on the platform, of whichever user."""
    found: set[str] = set()
    for ids in portions(award_ids):
        found.update(connection.execute(select(awards.c.id).where(awards.c.id.in_(ids))).scalars())
    return found


def portals_of(connection: Connection, achievement_ids: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ids in portions(achievement_ids):
        query = select(achievements.c.id, achievements.c.portal_id).where(achievements.c.id.in_(ids))
        found |= {row.id: row.portal_id for row in connection.execute(query) if row.portal_id is not None}
    return found


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
