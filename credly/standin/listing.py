"""Lists: filters in both syntaxes, sorting, paging, and the bulk read (2, 4.5, 4.7, 6)."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from fastapi import Request

from credly.standin.parsing import moment_of
from credly.standin.settings import Assumptions
from credly.standin.store import Row, Store, text_of
from credly.standin.wire import PER_PAGE, ApiError, reporting_tags_of, skills_of

Filters = dict[str, list[str]]
Query = list[tuple[str, str]]
_BRACKET = re.compile(r"filter\[(.+)\]$")
_SORTABLE = ("created_at", "updated_at", "issued_at", "expires_at", "state_updated_at")
_MOST_DIGITS = 12  # more badges than there will be, and within SQLite's integers
_NESTED, _FORMAT = "search_after[]", "badge_format"
_RANGES = ("created_at", "updated_at", "issued_at", "state_updated_at", "expires_at")


def filters_of(request: Request, assumed: Assumptions) -> Filters:
    """Return the filters of a request, in either syntax: `filter=key::a,b|key2::c` or `filter[key]=a,b`."""
    filters: Filters = {}
    if assumed.filters_are_ignored:
        return filters
    for name, value in request.query_params.multi_items():
        if name == "filter":
            for term in value.split("|"):
                key, separator, values = term.partition("::")
                if separator:
                    filters[key] = values.split(",")
        elif bracket := _BRACKET.match(name):
            filters[bracket[1]] = value.split(",")
    return filters


def page_of(request: Request) -> int:
    """Return the number of the page, from 1.

    Raises:
        ApiError: 400, it is not a positive number.
    """
    text = request.query_params.get("page", "1")
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) < 1:
        raise ApiError(400, "The page must be a number from 1.")
    return int(text)


def badges(
    store: Store, organization_id: str, request: Request, assumed: Assumptions, *, page: int
) -> tuple[list[Row], int]:
    where, values = _badge_condition(store, organization_id, filters_of(request, assumed), assumed)
    total = store.one(f"SELECT count(*) AS n FROM badges WHERE {where}", *values)  # noqa: S608 - conditions are ours
    order = _order(request.query_params.get("sort"), _SORTABLE, default="created_at DESC, sequence DESC")
    sql = f"SELECT * FROM badges WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - conditions are ours
    return store.all(sql, *values, PER_PAGE, (page - 1) * PER_PAGE), int(total["n"]) if total else 0


def bulk(store: Store, organization_id: str, request: Request, assumed: Assumptions) -> tuple[list[Row], Query | None]:
    """Return the next badges of the bulk read, the oldest first, and the query of the page behind them."""
    where, values = _badge_condition(store, organization_id, filters_of(request, assumed), assumed)
    sql = f"SELECT * FROM badges WHERE {where} AND sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608 - as above
    rows = store.all(sql, *values, _sequence_in(request), assumed.bulk_rows + 1)
    if len(rows) <= assumed.bulk_rows:  # one row more was read, to see whether there is a next page
        return rows, None
    rows = rows[: assumed.bulk_rows]
    dropped = {"cursor", _NESTED} | ({_FORMAT} if assumed.bulk_link_asks_for_full_badges else set())
    query = [(key, value) for key, value in request.query_params.multi_items() if key not in dropped]
    if assumed.bulk_link_asks_for_full_badges:
        query.append((_FORMAT, "default"))
    return rows, [*query, *_cursor_behind(rows[-1], nested=assumed.bulk_cursor_is_nested)]


def _cursor_behind(row: Row, *, nested: bool) -> Query:
    sequence = str(row["sequence"])
    return [(_NESTED, row["created_at"]), (_NESTED, sequence)] if nested else [("cursor", sequence)]


def _sequence_in(request: Request) -> int:
    """Return the sequence behind which the bulk read continues; 0, the beginning, for a cursor that is not valid."""
    nested = request.query_params.getlist(_NESTED)
    # Both parts or none: a client that loses one of the repeated keys must not succeed.
    whole = len(nested) == 2 and moment_of(nested[0]) is not None
    after = nested[1] if whole else request.query_params.get("cursor", "0")
    return int(after) if after.isdecimal() and len(after) <= _MOST_DIGITS else 0


def _badge_condition(
    store: Store, organization_id: str, filters: Filters, assumed: Assumptions
) -> tuple[str, list[Any]]:
    terms, values = ["organization_id = ?", "deleted = 0"], [organization_id]
    if assumed.list_lag_seconds:
        terms.append("created_at <= ?")
        values.append(text_of(store.now() - timedelta(seconds=assumed.list_lag_seconds)))
    for key, wanted in filters.items():
        for term, term_values in _badge_term(store, key, wanted):
            terms.append(term)
            values.extend(term_values)
    return " AND ".join(terms), values


def _badge_term(store: Store, key: str, wanted: list[str]) -> list[tuple[str, list[Any]]]:
    if key == "recipient_email":
        return [_in("email_key", [value.lower() for value in wanted])]
    if key == "recipient_email_all":
        return [_in("email_key", [address for value in wanted for address in store.addresses_of(value)])]
    if key in ("issuer_earner_id", "state"):
        return [_in(key, wanted)]
    if key == "badge_template_id":
        return [_in("template_id", wanted)]
    if key == "public":
        return [("public = ?", [int(wanted[0].lower() == "true")])]
    if key == "query":
        part = ",".join(wanted).lower()
        return [("(instr(email_key, ?) OR instr(lower(first_name || ' ' || last_name), ?))", [part, part])]
    if key == "badge_templates[reporting_tags]":
        tagged = "SELECT t.id FROM templates t, json_each(t.body, '$.reporting_tags') tag WHERE tag.value IN"
        return [(f"template_id IN ({tagged} ({', '.join('?' for _ in wanted)}))", list(wanted))]
    return _range_term(key, wanted[0])


def _range_term(key: str, value: str) -> list[tuple[str, list[Any]]]:
    """Such as `created_at_min` or `expires_at_date_max`; an unknown key is ignored (2)."""
    for name in _RANGES:
        bound = _bound(key, name, value)
        if bound is not None:
            return [(f"{name} {bound[0]} ?", [bound[1]])]
    return []


def _bound(key: str, name: str, value: str) -> tuple[str, str] | None:
    end = key.removeprefix(name).removeprefix("_date")
    moment = moment_of(value)
    if not key.startswith(name) or end not in ("_min", "_max") or moment is None:
        return None
    # A date without a time as the end includes that day.
    if end == "_max" and len(value.strip()) == len("2026-11-02"):
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999000)
    return (">=" if end == "_min" else "<="), text_of(moment)


def _in(column: str, values: list[str]) -> tuple[str, list[Any]]:
    return f"{column} IN ({', '.join('?' for _ in values)})", list(values)


def _order(sort: str | None, sortable: tuple[str, ...], *, default: str) -> str:
    parts = []
    for term in (sort or "").split("|"):
        name = term.removeprefix("-")
        if name in sortable:
            parts.append(f"{name} {'DESC' if term.startswith('-') else 'ASC'}")
    return ", ".join([*parts, "rowid"]) if parts else default


def templates(store: Store, organization_id: str, request: Request, assumed: Assumptions) -> list[Row]:
    sort = request.query_params.get("sort")
    order = _order(sort, ("name", "created_at", "updated_at", "badges_count"), default="created_at, rowid")
    counted = "coalesce((SELECT badges FROM badges_counts c WHERE c.template_id = templates.id), 0) AS badges_count"
    sql = f"SELECT *, {counted} FROM templates WHERE organization_id = ? ORDER BY {order}"  # noqa: S608 - names are ours
    rows = store.all(sql, organization_id)
    for key, wanted in filters_of(request, assumed).items():
        rows = [row for row in rows if _template_matches(row, key, wanted)]
    return rows


def _template_matches(row: Mapping[str, Any], key: str, wanted: list[str]) -> bool:
    tests: dict[str, Callable[[], bool]] = {
        "state": lambda: row["state"] in wanted,
        "name": lambda: _name_matches(row["name"], ",".join(wanted)),
        "query": lambda: ",".join(wanted).lower() in row["name"].lower(),
        "public": lambda: wanted[0].lower() == "true",
        "id": lambda: row["id"] in wanted,
        "owner_id": lambda: row["organization_id"] in wanted,
        "reporting_tags": lambda: not set(wanted).isdisjoint(reporting_tags_of(row)),
        "skills": lambda: not set(wanted).isdisjoint(skills_of(row)),
    }
    return tests.get(key, lambda: _is_within(row, key, wanted[0]))()


def _is_within(row: Mapping[str, Any], key: str, value: str) -> bool:
    for name in ("created_at", "updated_at"):
        bound = _bound(key, name, value)
        if bound is not None:
            return bool(row[name] >= bound[1] if bound[0] == ">=" else row[name] <= bound[1])
    return True


def _name_matches(name: str, wanted: str) -> bool:
    if len(wanted) > 1 and wanted[0] == wanted[-1] == '"':
        return name.lower() == wanted[1:-1].lower()
    return wanted.lower() in name.lower()
