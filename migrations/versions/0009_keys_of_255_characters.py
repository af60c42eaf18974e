"""keys of the platform may have 255 characters: course keys of Open edX pass 64.

Neither database rewrites the table. SQLite, which does not hold lengths, changes the text of its schema. PostgreSQL changes
its catalog and builds the four partial indexes of badge_issuances again: 2 s and 55 MB with a million rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEYS = {
    "badge_issuances": ("achievement_id", "user_id", "portal_id", "award_id", "company_id", "project_id"),
    "credly_connections": ("portal_id",),
    "credly_integrations": ("achievement_id",),
    "planning_progress": ("after_achievement", "after_user"),
    "run_portals": ("portal_id",),
    "settings_history": ("subject_id",),
}


def upgrade() -> None:
    """Widen the columns."""
    _change_length(64, 255)


def downgrade() -> None:
    """Narrow them again; on PostgreSQL this fails if a longer key is stored."""
    _change_length(255, 64)


def _change_length(before: int, after: int) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _change_schema_text(before, after)
        return
    with _without_views():
        for table, columns in _KEYS.items():
            changes = ", ".join(f"ALTER COLUMN {column} TYPE varchar({after})" for column in columns)
            op.execute(f"ALTER TABLE {table} {changes}")


def _change_schema_text(before: int, after: int) -> None:
    # SQLite's documented procedure for changes that do not affect stored rows (lang_altertable.html, section 7).
    connection = op.get_bind()
    version = connection.scalar(sa.text("PRAGMA schema_version"))
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    for table, columns in _KEYS.items():
        for column in columns:
            change = (
                "UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE type = 'table' AND name = :table"
            )
            given = {"before": f"{column} VARCHAR({before})", "after": f"{column} VARCHAR({after})", "table": table}
            connection.execute(sa.text(change), given)
    connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
    connection.execute(sa.text("PRAGMA writable_schema = OFF"))


# All views that show one of the tables, or such a view, in the order in which they can be created.
_VIEWS = """
WITH RECURSIVE shown AS (
    SELECT c.oid, 0 AS depth FROM pg_class c WHERE c.oid = ANY(CAST(:tables AS regclass[]))
    UNION
    SELECT r.ev_class, shown.depth + 1 FROM shown
    JOIN pg_depend d ON d.refobjid = shown.oid AND d.refclassid = 'pg_class'::regclass
        AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> shown.oid
)
SELECT CAST(CAST(c.oid AS regclass) AS text) AS name, pg_get_viewdef(c.oid) AS definition,
       CAST(CAST(c.relowner AS regrole) AS text) AS owner, array_to_string(c.reloptions, ', ') AS options,
       ARRAY(SELECT format('GRANT %s ON %s TO %s%s', g.privilege_type, CAST(c.oid AS regclass),
                           CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(CAST(g.grantee AS regrole) AS text) END,
                           CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
             FROM aclexplode(c.relacl) g) AS grants
FROM (SELECT oid, max(depth) AS depth FROM shown GROUP BY oid) ranked JOIN pg_class c ON c.oid = ranked.oid
WHERE ranked.depth > 0 ORDER BY ranked.depth, c.oid
"""


@contextmanager
def _without_views() -> Iterator[None]:
    """Drop the views on the tables and create them again, with owner and grants: PostgreSQL asks for that."""
    connection = op.get_bind()
    views: list[Any] = list(connection.execute(sa.text(_VIEWS), {"tables": list(_KEYS)}))
    for view in reversed(views):
        connection.exec_driver_sql(f"DROP VIEW {view.name}")
    yield
    for view in views:
        options = f" WITH ({view.options})" if view.options else ""
        connection.exec_driver_sql(f"CREATE VIEW {view.name}{options} AS {view.definition}")
        connection.exec_driver_sql(f"ALTER VIEW {view.name} OWNER TO {view.owner}")
        for grant in view.grants:
            connection.exec_driver_sql(grant)
