"""Asking PostgreSQL how it would find what Laurel looks up: by an index, or by reading a whole table."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from models.lack import Lack

EXPENSIVE = 1000  # in the planner's measure: some ten thousand rows are read for each look-up
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


def plans_of(connection: Connection) -> list[Lack]:
    """Return the look-ups that no index answers, where the tables are large enough for that to matter."""
    return list(_of_plans(connection)) if connection.dialect.name == "postgresql" else []


def _of_plans(connection: Connection) -> Iterator[Lack]:
    for look_up, condition in _LOOK_UPS.items():
        name, _, by = look_up.partition(": ")
        asked = text(f"EXPLAIN (VERBOSE, FORMAT JSON) SELECT * FROM {name} WHERE {condition}")  # noqa: S608 - constants
        told = connection.execute(asked).scalar_one()
        (plan,) = json.loads(told) if isinstance(told, str) else told
        read = sorted(set(_read_whole(plan["Plan"])))
        if read:
            tables = ", ".join(read)
            yield Lack(
                where=name,
                what=f"To find rows by {by}, the database reads the whole of {tables}.",
                advice=f"CREATE INDEX on what the view shows as {by}, casts included, then ANALYZE {tables}: "
                "docs/adopting.md, section 2.",
            )


def _read_whole(node: dict[str, Any]) -> Iterator[str]:
    by_index = "Index Cond" in node or "Recheck Cond" in node
    if "Relation Name" in node and not by_index and node["Total Cost"] > EXPENSIVE:
        yield f"{node['Schema']}.{node['Relation Name']}"
    for child in node.get("Plans", []):
        yield from _read_whole(child)
