"""Awards, read in pages and by key."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    String,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
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
    Budget,
    Part,
    Unreadable,
    is_isolating,
    read_in_halves,
    rows_by_key,
    rows_within_budget,
    savepoint,
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
_NO_MOMENT = "unreadable"  # what `platform_moment` makes `NO_MOMENT` of
_STATEMENTS_PER_PAGE = 100  # that search for awards which cannot be read


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
    return _page_by_key(connection, part, size=size, now=now, since=since, after=after)


def _page_by_key(
    connection: Connection,
    part: ColumnElement[bool],
    *also: ColumnElement[bool],
    size: int,
    now: datetime,
    since: datetime,
    after: Key,
) -> Page:
    reached = _end_of_page(connection, _KEY, part, size)
    if reached is None:
        rows = connection.scalar(select(func.count()).select_from(awards).where(part)) or 0
        return Page(after=after, awards=_covered_awards(connection, part, *also, now=now, since=since), rows=rows)
    part = and_(part, ~is_after(_KEY, reached))
    return Page(
        after=after,
        awards=_covered_awards(connection, part, *also, now=now, since=since),
        rows=size,
        following=(reached[0], reached[1]),
    )


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
    of_period = and_(awards.c.awarded_at > after, awards.c.awarded_at <= until)
    if is_isolating(connection) or (following is not None and following[0] is None):
        # No order by moment can be had beside one that cannot be read, so all awards are read by key.
        begin: Key = ("", "") if following is None or following[0] is not None else (following[1], following[2])
        page = _page_by_key(connection, is_after(_KEY, begin), of_period, size=size, now=now, since=since, after=begin)
        return page.awards, None if page.following is None else (None, *page.following)
    part = of_period
    if following is not None:
        part = and_(
            part, awards.c.awarded_at >= _bound(following[0], awards.c.awarded_at), is_after(_BY_MOMENT, following)
        )
    # Most periods fit into one page. Then this is the only statement: without an index by moment, each reads the table.
    rows = as_stored(connection, select(*_covered(now, since)).where(part).limit(size))
    if len(rows) < size:
        return [row[:3] for row in rows if row[3] and is_key(row[1])], None
    reached = _end_of_page(connection, _BY_MOMENT, part, size)
    if reached is not None:
        part = and_(
            part, awards.c.awarded_at <= _bound(reached[0], awards.c.awarded_at), ~is_after(_BY_MOMENT, reached)
        )
    return _covered_awards(connection, part, now=now, since=since), reached


def _end_of_page(
    connection: Connection, order: Sequence[ColumnElement[Any]], part: ColumnElement[bool], size: int
) -> tuple[Any, ...] | None:
    # The end is determined by the database, because its collation may differ from Python's order of strings. As stored:
    # the row may have a value that is converted on reading. Not NULL, after which nothing is.
    query = select(*order).where(part, *(column.is_not(None) for column in order)).order_by(*order)
    return next(iter(as_stored(connection, query.offset(size - 1).limit(1))), None)


def is_after(order: Sequence[ColumnElement[Any]], row: Sequence[Any]) -> ColumnElement[bool]:
    values = [_bound(value, column) for column, value in zip(order, row, strict=True)]
    # A row comparison, which both databases answer from an index in this order.
    return tuple_(*order) > tuple_(*values)


def _bound(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not isinstance(value, str):
        return literal(value, type_=column.type)
    if is_utf8(value):
        # A moment too: SQLite's driver returns text.
        return literal(value, type_=column.type if isinstance(column.type, PlatformKey) else String())
    return cast(literal(value.encode("utf-8", "surrogateescape"), type_=LargeBinary()), String)


def start_of_newest(connection: Connection, after: datetime, until: datetime, *, count: int) -> datetime:
    """Return the moment after which the newest `count` awards of a period were made, or its start if unreadable."""
    part = and_(awards.c.awarded_at > after, awards.c.awarded_at <= until)
    query = select(awards.c.awarded_at).where(part).order_by(awards.c.awarded_at.desc()).offset(count).limit(1)
    try:
        with savepoint(connection):
            return connection.scalar(query) or after
    except Unreadable:
        return after


def _covered_awards(
    connection: Connection, part: ColumnElement[bool], *also: ColumnElement[bool], now: datetime, since: datetime
) -> Sequence[Awarded]:
    *columns, is_covered = _covered(now, since)
    rows, keys = _rows_of_page(connection, select(*columns).where(is_covered, *also), part)
    # Those whose moments cannot be read may be covered. `awards_of` reads each by itself.
    return [row for row in (*rows, *((*key, _NO_MOMENT) for key in keys)) if is_key(row[1])]


def _rows_of_page(
    connection: Connection, query: Select[*tuple[Any, ...]], part: ColumnElement[bool]
) -> tuple[list[tuple[Any, ...]], list[Key]]:
    """Return the rows of a part of all awards that can be read, and the pairs of those that perhaps cannot."""
    if not is_isolating(connection):
        return as_stored(connection, query.where(part)), []
    keys = list(dict.fromkeys(as_stored(connection, select(*_KEY).where(part).order_by(*_KEY))))

    def read(some: Sequence[int]) -> list[tuple[Any, ...]]:
        first, last = some[0], some[-1]
        begin = [is_after(_KEY, keys[first - 1])] if first else []
        end = [~is_after(_KEY, keys[last])] if last < len(keys) - 1 else []
        return as_stored(connection, query.where(part, *begin, *end))

    rows, unreadable, undecided = read_in_halves(
        connection, range(len(keys)), read, budget=Budget(left=_STATEMENTS_PER_PAGE)
    )
    return rows, [keys[each] for each in (*unreadable, *undecided)]


def _covered(now: datetime, since: datetime) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of an `Awarded`, and the condition that an integration may cover it."""
    # Also those whose moment is none: they get an issuance with that reason.
    moment = awards.c.awarded_at
    in_reach = or_(moment >= since, moment < FIRST, moment.is_(None), is_malformed(moment))
    return *_KEY, within_python_range(moment), and_(not_withdrawn(now), in_reach)


def valid_among(connection: Connection, keys: Collection[Key], *, now: datetime) -> set[Key]:
    """Return the pairs that have an award which is not withdrawn at `now` (UTC)."""
    query = select(*_KEY).where(of_keys(connection, *_KEY), not_withdrawn(now))

    def read(some: Sequence[Key]) -> Iterator[Key]:
        return (row for part in by_achievement(some) for row in as_stored(connection, query, part))

    # As in `not_withdrawn`: what cannot be read does not withdraw.
    return set(_in_halves(connection, sorted(keys), read))


def awards_of(
    connection: Connection, keys: Collection[Key], *, now: datetime, budget: Budget | None = None
) -> dict[Key, list[Award]]:
    """Return the awards of each pair, the oldest first, each with whether it is withdrawn at `now` (UTC).

    Without the pairs for which the budget did not suffice.
    """
    own = (awards.c.id, awards.c.achievement_id, awards.c.user_id)
    query = select(*own, *_OF_AWARD).where(of_keys(connection, *_KEY)).order_by(awards.c.awarded_at, awards.c.id)
    found: dict[Key, list[Award]] = {key: [] for key in keys}
    rows: Iterable[Any]
    if is_isolating(connection):
        rows, undecided = _rows_one_by_one(connection, sorted(keys), now=now, budget=budget)
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
        of_key.sort(key=lambda award: award.awarded_at)  # one without a moment is the last
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


def _rows_one_by_one(
    connection: Connection, keys: Sequence[Key], *, now: datetime, budget: Budget | None
) -> tuple[list[tuple[Any, ...]], set[Key]]:
    budget = budget or Budget()
    query = select(awards.c.id, *_KEY).where(of_keys(connection, *_KEY))

    def read(some: Sequence[Key]) -> list[Any]:
        return [row for part in by_achievement(some) for row in connection.execute(query, part)]

    ids, _, undecided = read_in_halves(connection, keys, read, budget=budget)
    of_award = select(awards.c.id, *_OF_AWARD).where(awards.c.id.in_(bindparam("keys", expanding=True)))
    by_id, left = rows_within_budget(connection, of_award, (row.id for row in ids), budget=budget, now=now)
    found = [(*row, *by_id[row.id][1:]) for row in sorted(ids, key=lambda row: row.id or "") if row.id in by_id]
    return found, {*undecided, *((row.achievement_id, row.user_id) for row in ids if row.id in left)}


def _in_halves(
    connection: Connection, keys: Sequence[Part], read: Callable[[Sequence[Part]], Iterable[Part]]
) -> list[Part]:
    """Return what `read` finds, and the keys that cannot be read."""
    found, unreadable, _ = read_in_halves(connection, keys, read, budget=Budget())
    return [*found, *unreadable]


def withdrawn_after(connection: Connection, after: Key, *, size: int, now: datetime) -> tuple[list[Key], Key | None]:
    """Return the next pairs that have a withdrawn award at `now` (UTC), and where the next page begins."""
    part, is_withdrawn = is_after(_KEY, after), withdrawn(now)
    if not is_isolating(connection):
        part = and_(part, is_withdrawn)
    reached = _end_of_page(connection, _KEY, part, size)
    if reached is not None:
        part = and_(part, ~is_after(_KEY, reached))
    found, _ = _rows_of_page(connection, select(*_KEY).where(is_withdrawn), part)
    following = None if reached is None else (reached[0], reached[1])
    return list(dict.fromkeys((row[0], row[1]) for row in found if is_key(row[0]) and is_key(row[1]))), following


def present_among(connection: Connection, award_ids: Iterable[str]) -> set[str]:
    """Return those of these awards that exist on the platform, of whichever user."""

    def read(some: Sequence[str]) -> Iterable[str]:
        return connection.execute(select(awards.c.id).where(awards.c.id.in_(some))).scalars()

    return {each for ids in portions(award_ids) for each in _in_halves(connection, ids, read)}


def portals_of(connection: Connection, achievement_ids: Iterable[str]) -> dict[str, str]:
    query = select(achievements.c.id, achievements.c.portal_id)
    query = query.where(achievements.c.id.in_(bindparam("keys", expanding=True)))
    found = rows_by_key(connection, query, achievement_ids)
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
