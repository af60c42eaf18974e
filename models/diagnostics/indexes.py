"""Checks, on PostgreSQL, that an index answers each look-up that Laurel makes."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from models.diagnostics.problem import Problem

_EXPENSIVE = 1000  # the planner's cost of reading some ten thousand rows
_LOOK_UPS = {
    "achievement_awards: achievement_id, user_id": "achievement_id = 'a' AND user_id = 'u'",
    "achievement_awards: achievement_id, user_id in their order": "(achievement_id, user_id) > ('a', 'u') "
    "ORDER BY achievement_id, user_id LIMIT 1",
    "achievement_awards: awarded_at": "awarded_at > now()",
    "achievement_awards: user_id": "user_id = 'u'",
    "achievement_awards: id": "id = 'a'",
    "users: id": "id = 'u'",
    "user_emails: user_id": "user_id = 'u' AND is_primary",
    "companies: id": "id = 'c'",
    "projects: id": "id = 'p'",
    "achievements: id": "id = 'a'",
    "portals: id": "id = 'p'",
}


def missing_indexes(connection: Connection) -> list[Problem]:
    """Return the look-ups without an index on tables large enough for that to matter."""
    return list(_plan_problems(connection)) if connection.dialect.name == "postgresql" else []


def _plan_problems(connection: Connection) -> Iterator[Problem]:
    for look_up, condition in _LOOK_UPS.items():
        name, _, by = look_up.partition(": ")
        explain = text(f"EXPLAIN (VERBOSE, FORMAT JSON) SELECT * FROM {name} WHERE {condition}")  # noqa: S608 - constants
        output = connection.execute(explain).scalar_one()
        (plan,) = json.loads(output) if isinstance(output, str) else output
        read = sorted(set(_read_whole(plan["Plan"])))
        if read:
            tables = ", ".join(read)
            yield Problem(
                where=name,
                what=f"To find rows by {by}, the database reads the whole of {tables}.",
                advice=f"CREATE INDEX on what the view shows as {by}, casts included, then ANALYZE {tables}: "
                "docs/how-to/adopting.md, section 2.",
            )


def _read_whole(node: dict[str, Any]) -> Iterator[str]:
    by_index = "Index Cond" in node or "Recheck Cond" in node
    if "Relation Name" in node and not by_index and node["Total Cost"] > _EXPENSIVE:
        yield f"{node['Schema']}.{node['Relation Name']}"
    for child in node.get("Plans", []):
        yield from _read_whole(child)
