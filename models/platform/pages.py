"""Awards, read in pages by key and by moment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, String, and_, cast, func, or_, select

from models.columns import (
    FIRST,
    as_stored,
    is_integer_key,
    is_key,
    is_malformed,
    mapping_of_dialect,
    platform_moment,
    within_python_range,
)
from models.platform.awards import KEY, Key, awards, bound, is_after, not_withdrawn, unusable_among, withdrawn
from models.platform.isolation import Budget, Unreadable, is_isolating, only_where, read_in_halves, savepoint
from rules.ledger.reasons import UnusableAward

Awarded = tuple[str, str, object]  # achievement, user, and the stored moment, for `platform_moment`
_BY_MOMENT = (awards.c.awarded_at, *KEY)
_NO_MOMENT = "unreadable"  # what `platform_moment` makes `NO_MOMENT` of
_STATEMENTS_PER_PAGE = 100  # that search for awards which cannot be read
_UNUSABLE_AT_MOST = 1000


@dataclass(frozen=True, kw_only=True)
class Page:
    """Awards after a key that are not withdrawn. `rows` is the number of awards read.

    `following` is where the next page begins, None on the last page. `unusable` are those whose achievement or user the
    ledger cannot have; the first page has also those that come before all keys.
    """

    after: Key
    awards: Sequence[Awarded]
    rows: int
    following: Key | None = None
    unusable: frozenset[UnusableAward] = frozenset()


def page_after(
    connection: Connection, after: Key, *, size: int, now: datetime, since: datetime, within: str | None = None
) -> Page:
    """Return the awards after a key by achievement and user, without those before the moment `since` (UTC)."""
    part = is_after(KEY, after)
    if within is not None:
        part = and_(awards.c.achievement_id == within, awards.c.user_id > after[1])
    page = _page_by_key(connection, part, size=size, now=now, since=since, after=after)
    if after[1] != "":
        return page
    return replace(page, unusable=page.unusable | _unusable_before_all(connection, within, now=now, since=since))


def _page_by_key(
    connection: Connection,
    part: ColumnElement[bool],
    *also: ColumnElement[bool],
    size: int,
    now: datetime,
    since: datetime,
    after: Key,
) -> Page:
    if not is_isolating(connection):
        read, reached = _page(connection, KEY, part, size=size, now=now, since=since)
        if _have_keys(covered := _covered_of(read)):
            return Page(after=after, awards=covered, rows=len(read), following=reached and (reached[0], reached[1]))
    reached = _end_of_page(connection, KEY, part, size)
    if reached is None:
        rows = connection.scalar(select(func.count()).select_from(awards).where(part)) or 0
    else:
        part, rows = and_(part, ~is_after(KEY, reached)), size
    found, unusable = _covered_awards(connection, part, *also, now=now, since=since)
    following = None if reached is None else (reached[0], reached[1])
    return Page(after=after, awards=found, rows=rows, following=following, unusable=unusable)


def awarded_between(
    connection: Connection,
    after: datetime,
    until: datetime,
    *,
    following: Sequence[Any] | None,
    size: int,
    now: datetime,
    since: datetime,
) -> tuple[Sequence[Awarded], Sequence[Any] | None, frozenset[UnusableAward]]:
    """Return a page of the awards of a period (start excluded, end included), where the next page begins, and those
    whose achievement or user the ledger cannot have.

    None: there is no next page. A bulk load may give a million awards one moment, so a page may end between them.
    """
    of_period = and_(awards.c.awarded_at > after, awards.c.awarded_at <= until)
    if is_isolating(connection) or (following is not None and following[0] is None):
        # No order by moment can be had beside one that cannot be read, so all awards are read by key.
        begin: Key = ("", "") if following is None or following[0] is not None else (following[1], following[2])
        page = _page_by_key(connection, is_after(KEY, begin), of_period, size=size, now=now, since=since, after=begin)
        return page.awards, None if page.following is None else (None, *page.following), page.unusable
    part = of_period
    if following is not None:
        part = and_(
            part, awards.c.awarded_at >= bound(following[0], awards.c.awarded_at), is_after(_BY_MOMENT, following)
        )
    rows, reached = _page(connection, _BY_MOMENT, part, size=size, now=now, since=since)
    if _have_keys(covered := _covered_of(rows)):
        return covered, reached, frozenset()
    if reached is not None:
        part = and_(part, awards.c.awarded_at <= bound(reached[0], awards.c.awarded_at), ~is_after(_BY_MOMENT, reached))
    found, unusable = _covered_awards(connection, part, now=now, since=since)
    return found, reached, unusable


def _end_of_page(
    connection: Connection, order: Sequence[ColumnElement[Any]], part: ColumnElement[bool], size: int
) -> tuple[Any, ...] | None:
    # The end is determined by the database, because its collation may differ from Python's order of strings. As stored:
    # the row may have a value that is converted on reading. Not NULL, after which nothing is.
    query = select(*order).where(part, *(column.is_not(None) for column in order)).order_by(*order)
    return next(iter(as_stored(connection, query.offset(size - 1).limit(1))), None)


def newest_awards(
    connection: Connection, after: datetime, until: datetime, *, count: int, now: datetime, since: datetime
) -> tuple[Sequence[Awarded], frozenset[UnusableAward]] | None:
    """Return the newest awards of a period, and the unusable ones among them.

    None: they have no order by moment, because one has a moment that cannot be read.
    """
    if is_isolating(connection):
        return None
    *columns, is_covered = _covered(connection, now, since)
    newest = select(*columns, is_covered).where(awards.c.awarded_at > after, awards.c.awarded_at <= until)
    newest = newest.order_by(awards.c.awarded_at.desc()).limit(count)
    if _have_keys(found := _covered_of(as_stored(connection, newest, moments=False))):
        return found, frozenset()
    named = as_stored(connection, newest.where(is_covered).with_only_columns(awards.c.id, *KEY))
    return [row for row in found if is_key(row[0]) and is_key(row[1])], unusable_among(named)


def _page(
    connection: Connection,
    order: Sequence[ColumnElement[Any]],
    part: ColumnElement[bool],
    *,
    size: int,
    now: datetime,
    since: datetime,
) -> tuple[Sequence[tuple[Any, ...]], tuple[Any, ...] | None]:
    """Return the next rows in this order, and where the next page begins."""
    # One statement: without an index in this order, each reads the whole table. Not NULL, after which nothing is.
    read = select(*_covered(connection, now, since)).where(part)
    query = read.where(*(column.is_not(None) for column in order))
    found = as_stored(connection, query.order_by(*order).limit(size), moments=False)
    if len(found) < size:
        return found, None
    achievement, user, moment, _ = found[-1]
    if isinstance(moment, datetime):
        moment = platform_moment(moment, mapping_of_dialect(connection.dialect))
    last = (achievement, user) if order is KEY else (moment, achievement, user)
    # The database's collation may find further rows equal to the last one, which are not after it.
    equal = (column == bound(value, column) for column, value in zip(order, last, strict=True))
    more = as_stored(connection, read.where(*equal), moments=False)
    return list(dict.fromkeys([*found, *more])), last


def _covered_of(rows: Sequence[tuple[Any, ...]]) -> list[Awarded]:
    return [row[:3] for row in rows if row[3]]


def _covered_awards(
    connection: Connection, part: ColumnElement[bool], *also: ColumnElement[bool], now: datetime, since: datetime
) -> tuple[Sequence[Awarded], frozenset[UnusableAward]]:
    *columns, is_covered = _covered(connection, now, since)
    condition = and_(is_covered, *also)
    rows, keys = _rows_of_page(connection, select(*columns), part, condition)
    # Those whose moments cannot be read may be covered. `awards_of` reads each by itself.
    rows += [(*key, _NO_MOMENT) for key in keys]
    if _have_keys(rows):
        return rows, frozenset()
    named, _ = _rows_of_page(connection, select(awards.c.id, *KEY), part, condition)
    return [row for row in rows if is_key(row[1])], unusable_among(named)


def _have_keys(rows: Sequence[Awarded]) -> bool:
    return all(is_key(each) for each in {row[0] for row in rows}) and all(is_key(row[1]) for row in rows)


def _unusable_before_all(
    connection: Connection, within: str | None, *, now: datetime, since: datetime
) -> frozenset[UnusableAward]:
    """Return the awards that no page after a key has: NULL is after none, and blank and SQLite's numbers are before."""
    without = [or_(column.is_(None), column <= "") for column in KEY]
    part = or_(*without) if within is None else and_(awards.c.achievement_id == within, without[1])
    query = select(awards.c.id, *KEY).where(part).limit(_UNUSABLE_AT_MOST)
    try:
        with savepoint(connection):
            return unusable_among(as_stored(connection, query.where(_covered(connection, now, since)[-1])))
    except Unreadable:
        return unusable_among(as_stored(connection, query))


def _rows_of_page(
    connection: Connection,
    query: Select[*tuple[Any, ...]],
    part: ColumnElement[bool],
    condition: ColumnElement[bool],
) -> tuple[list[tuple[Any, ...]], list[Key]]:
    """Return those of a part that meet the condition, as far as they can be read, and pairs that perhaps cannot."""
    if not is_isolating(connection):
        return as_stored(connection, query.where(part, condition), moments=False), []
    keys = list(dict.fromkeys(as_stored(connection, select(*KEY).where(part).order_by(*KEY))))

    def read(some: Sequence[int]) -> list[tuple[Any, ...]]:
        first, last = some[0], some[-1]
        begin = [is_after(KEY, keys[first - 1])] if first else []
        end = [~is_after(KEY, keys[last])] if last < len(keys) - 1 else []
        return as_stored(connection, query.where(only_where(and_(part, *begin, *end), condition)), moments=False)

    rows, unreadable, undecided = read_in_halves(
        connection, range(len(keys)), read, budget=Budget(left=_STATEMENTS_PER_PAGE)
    )
    return rows, [keys[each] for each in (*unreadable, *undecided)]


def _covered(connection: Connection, now: datetime, since: datetime) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of an `Awarded`, and the condition that an integration may cover it."""
    # Also those whose moment is none: they get an issuance with that reason.
    moment = awards.c.awarded_at
    in_reach = or_(moment >= since, moment < FIRST, moment.is_(None), is_malformed(moment))
    # Made text by the database, which takes less time than in Python.
    keys = (cast(key, String) if is_integer_key(key, connection.dialect) else key for key in KEY)
    return *keys, within_python_range(moment), and_(not_withdrawn(now), in_reach)


def withdrawn_after(connection: Connection, after: Key, *, size: int, now: datetime) -> tuple[list[Key], Key | None]:
    """Return the next pairs that have a withdrawn award at `now` (UTC), and where the next page begins."""
    part, is_withdrawn = is_after(KEY, after), withdrawn(now)
    in_order = part if is_isolating(connection) else and_(part, is_withdrawn)
    reached = _end_of_page(connection, KEY, in_order, size)
    if reached is not None:
        part = and_(part, ~is_after(KEY, reached))
    found, _ = _rows_of_page(connection, select(*KEY), part, is_withdrawn)
    following = None if reached is None else (reached[0], reached[1])
    return list(dict.fromkeys((row[0], row[1]) for row in found if is_key(row[0]) and is_key(row[1]))), following
