"""Checks of the platform's rows: missing values, duplicate keys, users with two primary addresses."""

from collections.abc import Iterator

from sqlalchemy import Column, ColumnElement, Connection, Table, func, or_, select

from models.columns import UtcDateTime
from models.diagnostics.problem import Problem
from models.diagnostics.schema import is_text
from models.platform.tables import (
    Achievement,
    AchievementAward,
    Company,
    Portal,
    Project,
    User,
    UserEmail,
    platform_metadata,
)
from models.tables import table

emails = table(UserEmail)
_SAMPLED_ROWS = 1_000_000  # per table, for the check of duplicate keys
_SHOWN = 5
_NAMED_BY_KEY = (Portal, User, Company, Project, Achievement)


def row_problems(connection: Connection) -> list[Problem]:
    found: list[Problem] = []
    for one in platform_metadata.sorted_tables:
        found += _value_problems(connection, one)
        found += _duplicate_keys(connection, one)
    found += [problem for one in _NAMED_BY_KEY for problem in _addresses_as_keys(connection, table(one))]
    return [*found, *_duplicate_primary_addresses(connection)]


def _addresses_as_keys(connection: Connection, one: Table) -> Iterator[Problem]:
    count = connection.scalar(select(func.count()).select_from(one).where(one.c.id.like("%@%")))
    if count:
        yield Problem(
            where=f"{one.name}.id",
            what=f"Keys have an @, as e-mail addresses do, in {count} rows. Prefect shows and keeps keys, and forms "
            "refuse these.",
            advice="Give other keys in the view, such as md5 of the present ones, alike in all views.",
        )


def _value_problems(connection: Connection, one: Table) -> Iterator[Problem]:
    needed = [column for column in one.c if not column.nullable]
    keys = [column for column in one.c if _longest(column)]
    query = select(
        func.count(),
        *(func.count(column) for column in needed),
        *(func.max(func.length(column)) for column in keys),
    ).select_from(one)
    rows, *values = connection.execute(query).one()
    for column, there in zip(needed, values, strict=False):
        if there < rows:
            yield Problem(
                where=f"{one.name}.{column.name}",
                what=f"It is NULL in {rows - there} of {rows} rows, and Laurel passes such rows over.",
                advice="Let the view give a value, or leave these rows out of it on purpose.",
            )
    for column, length in zip(keys, values[len(needed) :], strict=True):
        if (length or 0) > _longest(column):
            yield Problem(
                where=f"{one.name}.{column.name}",
                what=f"It has up to {length} characters, and Laurel keeps keys of at most {_longest(column)}.",
                advice="Give shorter keys in the view, such as md5 of the present ones, alike in all views.",
                stops=True,
            )
    if connection.dialect.name == "sqlite":
        yield from _sqlite_format_problems(connection, one)


def _sqlite_format_problems(connection: Connection, one: Table) -> Iterator[Problem]:
    # SQLite stores any value in any column: keys that are numbers, times that do not sort by time.
    moment = "____-__-__ __:__:__"
    for column in one.c:
        raw = func.typeof(column)
        wrong: ColumnElement[bool]
        if isinstance(column.type, UtcDateTime):
            read = func.substr(column, 1)  # the stored text, without conversion to a moment
            in_form = or_(read.like(moment), read.like(f"{moment}.%"))
            wrong = or_(raw != "text", ~in_form, read.like("%Z"), read.like("%+%"))
            must = "text such as 2026-11-02 08:00:00, in UTC: datetime(…) gives it"
        elif is_text(column):
            wrong, must = raw != "text", f"text: CAST({column.name} AS text)"
        else:
            continue
        odd = connection.scalar(select(func.count()).select_from(one).where(column.is_not(None), wrong))
        if odd:
            what = f"{odd} rows have it in another form than Laurel compares."
            yield Problem(where=f"{one.name}.{column.name}", what=what, advice=f"It must be {must}.", stops=True)


def _longest(column: Column[object]) -> int:
    return (getattr(column.type, "length", None) or 0) if is_text(column) else 0


def _duplicate_keys(connection: Connection, one: Table) -> Iterator[Problem]:
    some = select(one.c.id).limit(_SAMPLED_ROWS).subquery()
    twice = select(some.c.id).group_by(some.c.id).having(func.count() > 1).limit(_SHOWN)
    keys = [key for key in connection.execute(twice).scalars() if key is not None]
    if keys:
        award = one is table(AchievementAward)
        yield Problem(
            where=f"{one.name}.id",
            what=f"Keys come twice, such as {', '.join(keys)}.",
            advice="Let the view give each key once: a join in it may multiply rows. "
            + ("Else company and project of an award are left to chance." if award else "Else one of them is taken."),
        )


def _duplicate_primary_addresses(connection: Connection) -> Iterator[Problem]:
    several = select(emails.c.user_id).where(emails.c.is_primary).group_by(emails.c.user_id)
    users = list(connection.execute(several.having(func.count() > 1).limit(_SHOWN)).scalars())
    if users:
        yield Problem(
            where="user_emails",
            what=f"Users with several primary addresses, such as {', '.join(map(str, users))}.",
            advice="Let the view give one primary address for each user; until then one of them is taken.",
        )
