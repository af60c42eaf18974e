"""Checks, where the database explains its plans, that an index answers each look-up that Laurel makes."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ClauseElement, Column, Connection, Executable, Select, Table, select
from sqlalchemy.ext.compiler import compiles

from models.columns import PlatformKey, is_integer_key, mapping_of_dialect
from models.diagnostics.problem import Problem
from models.platform.awards import is_after
from models.platform.tables import platform_metadata

_EXPENSIVE = 1000  # PostgreSQL's cost of reading some ten thousand rows
_MANY_ROWS = 10_000
_LOOK_UPS = {
    "achievement_awards": (("achievement_id", "user_id"), ("awarded_at",), ("user_id",), ("id",)),
    "users": (("id",),),
    "user_emails": (("user_id",),),
    "companies": (("id",),),
    "projects": (("id",),),
    "achievements": (("id",),),
    "portals": (("id",),),
}


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explain)
def _explain(element: _Explain, compiler: Any, **options: Any) -> str:
    how = "(VERBOSE, FORMAT JSON) " if compiler.dialect.name == "postgresql" else ""
    return f"EXPLAIN {how}{compiler.process(element.statement, **options)}"


def missing_indexes(connection: Connection) -> list[Problem]:
    """Return the look-ups without an index on tables large enough for that to matter."""
    read_whole = {"postgresql": _on_postgresql, "mysql": _on_mysql, "mariadb": _on_mysql}.get(connection.dialect.name)
    if read_whole is None:
        return []
    found = []
    for relation, by, statement in _statements():
        for name in sorted(set(read_whole(connection, statement))):
            found.append(_problem(connection, relation, by, name))
    return found


def _statements() -> Iterator[tuple[Table, str, Select[Any]]]:
    for name, look_ups in _LOOK_UPS.items():
        relation = platform_metadata.tables[name]
        for columns in look_ups:
            by = ", ".join(columns)
            if columns == ("awarded_at",):
                yield relation, by, select(relation).where(relation.c.awarded_at > datetime.now(UTC))
            else:
                yield relation, by, select(relation).where(*(relation.c[column] == "1" for column in columns))
            if len(columns) == 2:
                order = [relation.c[column] for column in columns]
                after = is_after(order, ("1", "1"))
                yield relation, f"{by} in their order", select(relation).where(after).order_by(*order).limit(1)


def _problem(connection: Connection, relation: Table, by: str, name: str) -> Problem:
    mapping = mapping_of_dialect(connection.dialect)
    where = relation.name if mapping is None or mapping.is_native else f"{relation.name}.sql"
    what = f"To find rows by {by}, the database reads the whole of {name}."
    if mapping is None:
        advice = f"An index on what the view shows as {by}, casts included, then ANALYZE {name}: "
        return Problem(where=where, what=what, advice=f"{advice}docs/how-to/adopting.md, section 2.")
    names = by.removesuffix(" in their order").split(", ")
    # Up to a few million rows it works without, and the platform's owner decides.
    if connection.dialect.name != "postgresql" and any(_is_text_key(relation.c[each], connection) for each in names):
        advice = "Slower, not wrong: text keys are compared by their characters, which no index answers here. "
        advice += "Where they are integers in the database, name the relation in integer_keys of mapping.toml."
        return Problem(where=where, what=what, advice=advice, needs_attention=False)
    columns = [_column_of(mapping.queries[relation.name], each) for each in names]
    if None in columns:
        advice = "Slower, not wrong: the query returns an expression, which an index on that expression would answer."
        return Problem(where=where, what=what, advice=advice, needs_attention=False)
    indexed = ", ".join(_quoted(connection, str(column)) for column in columns)
    index = _quoted(connection, "_".join(["laurel", *map(str, columns)]))
    return Problem(
        where=where,
        what=what,
        advice="Slower, not wrong. Where it takes too long, the owner runs the statement below.",
        needs_attention=False,
        statement=f"CREATE INDEX {index} ON {name} ({indexed});",
    )


def _is_text_key(column: Column[Any], connection: Connection) -> bool:
    return isinstance(column.type, PlatformKey) and not is_integer_key(column, connection.dialect)


def _column_of(query: str, name: str) -> str | None:
    """Return the column that a query returns under this name; None if it is an expression."""
    plain = r"(?:SELECT(?:\s+DISTINCT)?|,)\s*(?:\w+\.)?(\w+)"
    found = re.search(rf"{plain}\s+AS\s+{name}\b", query, re.IGNORECASE)
    found = found or re.search(rf"{plain}(?<=\b{name})\s*(?:,|\bFROM\b)", query, re.IGNORECASE)
    return found[1] if found else None


def _on_postgresql(connection: Connection, statement: Select[Any]) -> Iterator[str]:
    output = connection.execute(_Explain(statement)).scalar_one()
    (plan,) = json.loads(output) if isinstance(output, str) else output
    yield from _read_whole(connection, plan["Plan"])


def _quoted(connection: Connection, *names: str) -> str:
    return ".".join(map(connection.dialect.identifier_preparer.quote, names))


def _read_whole(connection: Connection, node: dict[str, Any]) -> Iterator[str]:
    by_index = "Index Cond" in node or "Recheck Cond" in node
    if "Relation Name" in node and not by_index and node["Total Cost"] > _EXPENSIVE:
        yield _quoted(connection, node["Schema"], node["Relation Name"])
    for child in node.get("Plans", []):
        yield from _read_whole(connection, child)


def _on_mysql(connection: Connection, statement: Select[Any]) -> Iterator[str]:
    sql = str(statement.compile(dialect=connection.dialect))
    for row in connection.execute(_Explain(statement)).mappings():
        # `index`: it reads a whole index, unless a LIMIT ends that, as where rows are read in the order of their keys.
        if row["type"] == "ALL" and int(row["rows"] or 0) > _MANY_ROWS:
            named = re.search(rf"(?:FROM|JOIN)\s+(\S+)\s+(?:AS\s+)?{re.escape(row['table'])}\b", sql, re.IGNORECASE)
            table = row["table"] if named is None else named[1].replace("`", "")
            yield _quoted(
                connection, *([] if "." in table else [str(connection.engine.url.database)]), *table.split(".")
            )
