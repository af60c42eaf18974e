"""badges are replaced when the earner's name is corrected: a setting of an integration, off."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_REASONS = (
    "'portal_not_connected', 'token_missing', 'token_refused', 'organization_not_found', 'template_not_found', "
    "'template_not_active', 'no_primary_email', 'email_malformed', 'name_missing', 'name_too_long', "
    "'name_unreadable', 'award_date_unusable', 'user_missing', 'user_id_not_usable', 'refused_by_credly', "
    "'not_permitted', 'duplicate_elsewhere', 'attempts_used_up', 'throttled', 'not_reachable', 'answer_unclear', "
    "'look_up_failed', 'awarded_in_future'{}, 'integration_removed', 'award_withdrawn', 'user_erased'"
)
_REASON, _ROUND = ", 'name_corrected'", ", 'names'"
_ROUNDS = "'recent', 'awards', 'open'{}"
# By table: the constraint's column, its values, and the one that is added.
_CHECKS = (
    ("badge_issuances", "reason", _REASONS, _REASON),
    ("issuance_history", "reason", _REASONS, _REASON),
    ("planning_progress", "round", _ROUNDS, _ROUND),
)


def upgrade() -> None:
    """Add the columns, and allow the reason and the round."""
    op.add_column("badge_issuances", sa.Column("name_digest", sa.String(16), nullable=True))
    # With its own constraint, for which SQLite need not copy the table.
    op.execute(
        "ALTER TABLE credly_integrations ADD COLUMN when_data_changes VARCHAR(40) DEFAULT 'leave' NOT NULL"
        " CONSTRAINT ck_credly_integrations_when_data_changes CHECK (when_data_changes IN ('leave', 'replace'))"
    )
    _change_checks(before="", after="{}")
    corrected = sa.text("reason = 'name_corrected'")
    op.create_index(
        "ix_issuance_history_names", "issuance_history", ["at"], sqlite_where=corrected, postgresql_where=corrected
    )


def downgrade() -> None:
    """Remove them; a badge that was to be replaced still is."""
    op.drop_index("ix_issuance_history_names", "issuance_history")
    for table in ("badge_issuances", "issuance_history"):
        op.execute(f"UPDATE {table} SET reason = NULL WHERE reason = 'name_corrected'")
    op.execute("DELETE FROM planning_progress WHERE round = 'names'")
    _change_checks(before="{}", after="")
    op.drop_column("credly_integrations", "when_data_changes")
    op.drop_column("badge_issuances", "name_digest")


def _change_checks(*, before: str, after: str) -> None:
    # Without rewriting the tables, which may have millions of rows.
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        # SQLite's documented procedure for changes that do not affect stored rows (lang_altertable.html, section 7).
        version = connection.scalar(sa.text("PRAGMA schema_version"))
        connection.execute(sa.text("PRAGMA writable_schema = ON"))
        for table, _, values, added in _CHECKS:
            change = "UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE name = :table"
            given = {"before": values.format(before.format(added)), "after": values.format(after.format(added))}
            connection.execute(sa.text(change), given | {"table": table})
        connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
        connection.execute(sa.text("PRAGMA writable_schema = OFF"))
        return
    for table, column, values, added in _CHECKS:
        name = op.f(f"ck_{table}_{column}")
        op.drop_constraint(name, table, type_="check")
        op.create_check_constraint(name, table, f"{column} IN ({values.format(after.format(added))})")
