"""Writes statements for the platform's database: a mapped relation becomes its query, as a derived table."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Engine,
    String,
    Table,
    Tuple,
    and_,
    cast,
    collate,
    func,
    literal_column,
    or_,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler

from models.columns import PlatformKey, UtcDateTime, mapping_of_dialect
from models.platform.tables import platform_metadata

_WITH_ROW_COMPARISON = ("postgresql", "sqlite")


def write_mapped(engine: Engine) -> None:
    """Let the engine write statements for the mapping of its dialect."""
    compiler = engine.dialect.statement_compiler
    engine.dialect.statement_compiler = type(f"Mapped{compiler.__name__}", (_MappedCompiler, compiler), {})


class _MappedCompiler(SQLCompiler):
    def visit_table(self, table: Any, asfrom: Any = False, *args: Any, enclosing_alias: Any = None, **kw: Any) -> Any:
        plain: Any = super()
        name = plain.visit_table(table, asfrom, *args, enclosing_alias=enclosing_alias, **kw)
        mapping = mapping_of_dialect(self.dialect)
        if not asfrom or mapping is None or table.metadata is not platform_metadata:
            return name
        derived = _derived_table(self, table, mapping.queries.get(table.name))
        # Its own alias follows, if it has one; otherwise columns are written with the table's name.
        suffix: Any = self.get_render_as_alias_suffix
        has_alias = enclosing_alias is not None and enclosing_alias.element is table
        return derived if has_alias else derived + suffix(name)

    def visit_binary(self, binary: Any, *args: Any, **kw: Any) -> Any:
        comparison = binary.operator in (operators.gt, operators.le) and isinstance(binary.left, Tuple)
        if not comparison or self.dialect.name in _WITH_ROW_COMPARISON:
            plain: Any = super()
            return plain.visit_binary(binary, *args, **kw)
        # MySQL answers a comparison of rows without an index, and other databases have none.
        return self.process(_expanded(binary), **kw)


def _expanded(binary: Any) -> ColumnElement[bool]:
    """Return `(a, b) > (x, y)` as `a > x OR (a = x AND b > y)`; `<=` alike."""
    pairs = list(zip(binary.left.clauses, binary.right.clauses, strict=True))
    strictly = operators.gt if binary.operator is operators.gt else operators.lt
    parts = []
    for place, (column, value) in enumerate(pairs):
        compare = binary.operator if place == len(pairs) - 1 else strictly
        parts.append(and_(*(before == earlier for before, earlier in pairs[:place]), compare(column, value)))
    return or_(*parts).self_group()


def _derived_table(compiler: Any, table: Table, query: str | None) -> str:
    quote, mapping = compiler.preparer.quote, mapping_of_dialect(compiler.dialect)
    if query is None:
        columns = ", ".join(f"NULL AS {quote(column.name)}" for column in table.c)
        return f"(SELECT {columns} FROM (SELECT 1 AS one) AS none_at_all WHERE 1 = 0)"  # noqa: S608
    values = {column.name: _value(compiler.dialect, column) for column in table.c}
    columns = ", ".join(f"{compiler.process(value)} AS {quote(name)}" for name, value in values.items())
    # Not NULLIF: the platform's index by moment could not be used.
    there = " WHERE q.awarded_at <> 0" if mapping and mapping.zero_is_none and "awarded_at" in table.c else ""
    return f"(SELECT {columns} FROM (\n{compiler.post_process_text(query)}\n) AS q{there})"  # noqa: S608 - of the mapping


def _value(dialect: Dialect, column: Any) -> ColumnElement[Any]:
    given: ColumnElement[Any] = literal_column(f"q.{column.name}")
    mapping = mapping_of_dialect(dialect)
    if isinstance(column.type, PlatformKey) and not column.type.is_integer(dialect):
        return _exact_text(dialect, given)
    if not isinstance(column.type, UtcDateTime) or not column.nullable or mapping is None:
        return given
    if mapping.epoch:
        given = cast(given, BigInteger())  # a bare NULL is text on PostgreSQL
    return func.nullif(given, literal_column("0")) if mapping.zero_is_none else given


def _exact_text(dialect: Dialect, given: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a key as text that compares by its characters, as Python does, whatever the column's collation is."""
    if dialect.name not in ("mysql", "mariadb"):
        return cast(given, String())
    from sqlalchemy.dialects import mysql  # loaded where the platform is on it only

    any_dialect: Any = dialect
    # The collations that end in _bin otherwise ignore trailing blanks.
    exact = "utf8mb4_nopad_bin" if any_dialect.is_mariadb else "utf8mb4_0900_bin"
    return collate(cast(given, mysql.CHAR(charset="utf8mb4")), exact)
