"""a log of the calls that belong to no issuance, Credly's own request ids, and since when an answer is outstanding."""

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BEFORE, _AFTER = (
    "'refused_by_credly', 'duplicate_elsewhere'",
    "'refused_by_credly', 'not_permitted', 'duplicate_elsewhere'",
)
_CHECK = "ck_badge_issuances_reason"

_OUTCOMES = (
    "issued",
    "found",
    "not_found",
    "refused",
    "throttled",
    "not_sent",
    "unclear",
    "not_connected",
    "revoked",
)
_ATTEMPTS = """\
CREATE VIEW laurel_attempts AS
SELECT
    a.id AS attempt_id, a.issuance_id, i.portal_id, i.achievement_id, i.badge_template_id, i.user_id,
    a.kind, a.outcome, a.started_at, a.duration_ms, a.status, a.code, a.credly_message,
    a.request_id,{more} a.request_fingerprint, a.field_names, a.flow_run_id, a.task_run_id
FROM issuance_attempts AS a
JOIN badge_issuances AS i ON i.id = a.issuance_id"""


def upgrade() -> None:
    op.create_table(
        "credly_calls",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=40), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(*_OUTCOMES, name="call_outcome", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("credly_message", sa.String(length=500), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("credly_request_id", sa.String(length=64), nullable=True),
        sa.Column("flow_run_id", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credly_calls")),
    )
    op.create_index("ix_credly_calls_started_at", "credly_calls", ["started_at"])
    op.add_column("badge_issuances", sa.Column("sent_at", UtcDateTime(), nullable=True))
    op.add_column(
        "badge_issuances", sa.Column("former_address", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("issuance_attempts", sa.Column("credly_request_id", sa.String(length=64), nullable=True))
    op.execute("DROP VIEW laurel_attempts")
    op.execute(_ATTEMPTS.format(more=" a.credly_request_id,"))
    _change_reasons(_BEFORE, _AFTER)


def downgrade() -> None:
    op.execute("UPDATE badge_issuances SET reason = 'refused_by_credly' WHERE reason = 'not_permitted'")
    _change_reasons(_AFTER, _BEFORE)
    op.execute("DROP VIEW laurel_attempts")
    op.drop_column("issuance_attempts", "credly_request_id")
    op.execute(_ATTEMPTS.format(more=""))
    op.drop_column("badge_issuances", "former_address")
    op.drop_column("badge_issuances", "sent_at")
    op.drop_table("credly_calls")


def _change_reasons(before: str, after: str) -> None:
    """Change which reasons the CHECK allows, without rewriting the table, which may have a million rows."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        # As SQLite documents it for changes that leave what is stored as it is (lang_altertable.html, section 7).
        version = connection.scalar(sa.text("PRAGMA schema_version"))
        connection.execute(sa.text("PRAGMA writable_schema = ON"))
        change = "UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE name = 'badge_issuances'"
        connection.execute(sa.text(change), {"before": before, "after": after})
        connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
        connection.execute(sa.text("PRAGMA writable_schema = OFF"))
        return
    op.drop_constraint(op.f(_CHECK), "badge_issuances", type_="check")
    op.create_check_constraint(op.f(_CHECK), "badge_issuances", f"reason IN ({_REASONS.format(after)})")


_REASONS = (
    "'portal_not_connected', 'token_missing', 'token_refused', 'organization_not_found', 'template_not_found', "
    "'template_not_active', 'no_primary_email', 'email_malformed', 'name_missing', 'name_too_long', 'user_missing', "
    "'user_id_not_usable', {}, 'attempts_used_up', 'throttled', 'not_reachable', 'answer_unclear', 'look_up_failed', "
    "'awarded_in_future', 'integration_removed', 'award_withdrawn'"
)
