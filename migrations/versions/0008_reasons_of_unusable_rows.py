"""the reasons for names that are not text and for awards without a usable date."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BEFORE = "'name_too_long', 'user_missing'"
_AFTER = "'name_too_long', 'name_unreadable', 'award_date_unusable', 'user_missing'"
_REASONS = (
    "'portal_not_connected', 'token_missing', 'token_refused', 'organization_not_found', 'template_not_found', "
    "'template_not_active', 'no_primary_email', 'email_malformed', 'name_missing', {}, 'user_id_not_usable', "
    "'refused_by_credly', 'not_permitted', 'duplicate_elsewhere', 'attempts_used_up', 'throttled', 'not_reachable', "
    "'answer_unclear', 'look_up_failed', 'awarded_in_future', 'integration_removed', 'award_withdrawn', 'user_erased'"
)
_TABLES = ("badge_issuances", "issuance_history")


def upgrade() -> None:
    """Allow the two reasons."""
    _change_reasons(_BEFORE, _AFTER)


def downgrade() -> None:
    """Give rows that have them the reason of a missing name."""
    for table in _TABLES:
        op.execute(
            f"UPDATE {table} SET reason = 'name_missing' WHERE reason IN ('name_unreadable', 'award_date_unusable')"
        )
    _change_reasons(_AFTER, _BEFORE)


def _change_reasons(before: str, after: str) -> None:
    # Without rewriting the tables, which may have millions of rows.
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        # SQLite's documented procedure for changes that do not affect stored rows (lang_altertable.html, section 7).
        version = connection.scalar(sa.text("PRAGMA schema_version"))
        connection.execute(sa.text("PRAGMA writable_schema = ON"))
        for table in _TABLES:
            change = "UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE name = :table"
            connection.execute(sa.text(change), {"before": before, "after": after, "table": table})
        connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
        connection.execute(sa.text("PRAGMA writable_schema = OFF"))
        return
    for table in _TABLES:
        name = op.f(f"ck_{table}_reason")
        op.drop_constraint(name, table, type_="check")
        op.create_check_constraint(name, table, f"reason IN ({_REASONS.format(after)})")
