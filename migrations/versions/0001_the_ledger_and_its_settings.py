"""the ledger and its settings."""

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "badge_issuances",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("achievement_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("badge_template_id", sa.String(length=64), nullable=False),
        sa.Column("portal_id", sa.String(length=64), nullable=False),
        sa.Column("award_id", sa.String(length=64), nullable=True),
        sa.Column("awarded_at", UtcDateTime(), nullable=True),
        sa.Column("company_id", sa.String(length=64), nullable=True),
        sa.Column("project_id", sa.String(length=64), nullable=True),
        sa.Column(
            "origin",
            sa.Enum("award", "by_hand", name="origin", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "issuing",
                "issued",
                "blocked",
                "failed",
                "cancelled",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "reason",
            sa.Enum(
                "portal_not_connected",
                "token_missing",
                "token_refused",
                "organization_not_found",
                "template_not_found",
                "template_not_active",
                "no_primary_email",
                "email_malformed",
                "name_missing",
                "name_too_long",
                "user_missing",
                "user_id_not_usable",
                "refused_by_credly",
                "duplicate_elsewhere",
                "attempts_used_up",
                "throttled",
                "not_reachable",
                "answer_unclear",
                "look_up_failed",
                "awarded_in_future",
                "integration_removed",
                "award_withdrawn",
                name="reason",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=True,
        ),
        sa.Column("credly_message", sa.String(length=500), nullable=True),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("claim", sa.String(length=36), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("unclear_at", UtcDateTime(), nullable=True),
        sa.Column("looked_again_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("credly_badge_id", sa.String(length=64), nullable=True),
        sa.Column("replaces_badge_id", sa.String(length=64), nullable=True),
        sa.Column("badge_url", sa.String(length=500), nullable=True),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("revoked_badge_id", sa.String(length=64), nullable=True),
        sa.Column("credly_state", sa.String(length=20), nullable=True),
        sa.Column("audited_at", UtcDateTime(), nullable=True),
        sa.Column("issued_at", UtcDateTime(), nullable=True),
        sa.Column("recorded_at", UtcDateTime(), nullable=True),
        sa.Column("evidence_sent", sa.String(), nullable=False),
        sa.Column("evidence_left_out", sa.String(), nullable=False),
        sa.Column("request_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("requested_by", sa.String(length=255), server_default="", nullable=False),
        sa.Column("request_reason", sa.String(length=500), server_default="", nullable=False),
        sa.Column("planned_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("flow_run_id", sa.String(length=36), nullable=True),
        sa.Column("task_run_id", sa.String(length=36), nullable=True),
        sa.CheckConstraint(
            "(state = 'issued') = (credly_badge_id IS NOT NULL AND recorded_at IS NOT NULL)",
            name=op.f("ck_badge_issuances_issued"),
        ),
        sa.CheckConstraint(
            "(state = 'issuing') = (claim IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_badge_issuances_issuing"),
        ),
        sa.CheckConstraint(
            "(state IN ('blocked', 'failed', 'cancelled') AND reason IS NOT NULL) OR (state IN ('issued', 'issuing') AND reason IS NULL) OR state = 'pending'",
            name=op.f("ck_badge_issuances_reason_given"),
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_badge_issuances_attempts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_badge_issuances")),
        sa.UniqueConstraint(
            "achievement_id", "user_id", "badge_template_id", name="uq_badge_issuances_achievement_user_template"
        ),
        sa.UniqueConstraint("credly_badge_id", name=op.f("uq_badge_issuances_credly_badge_id")),
    )
    with op.batch_alter_table("badge_issuances", schema=None) as batch_op:
        batch_op.create_index(
            "ix_badge_issuances_due",
            ["portal_id", "not_before"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index(
            "ix_badge_issuances_failed",
            ["looked_again_at"],
            unique=False,
            sqlite_where=sa.text("state = 'failed'"),
            postgresql_where=sa.text("state = 'failed'"),
        )
        batch_op.create_index(
            "ix_badge_issuances_leases",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("state = 'issuing'"),
            postgresql_where=sa.text("state = 'issuing'"),
        )
        batch_op.create_index(
            "ix_badge_issuances_work",
            ["portal_id", "id"],
            unique=False,
            sqlite_where=sa.text("state IN ('pending', 'issuing')"),
            postgresql_where=sa.text("state IN ('pending', 'issuing')"),
        )
        batch_op.create_index(
            "ix_badge_issuances_open",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state NOT IN ('issued', 'issuing', 'cancelled')"),
            postgresql_where=sa.text("state NOT IN ('issued', 'issuing', 'cancelled')"),
        )
        batch_op.create_index(
            "ix_badge_issuances_cancelled",
            ["achievement_id", "user_id"],
            unique=False,
            sqlite_where=sa.text("state = 'cancelled'"),
            postgresql_where=sa.text("state = 'cancelled'"),
        )
        batch_op.create_index(
            "ix_badge_issuances_replacing",
            ["replaces_badge_id"],
            unique=False,
            sqlite_where=sa.text("replaces_badge_id IS NOT NULL"),
            postgresql_where=sa.text("replaces_badge_id IS NOT NULL"),
        )
        batch_op.create_index("ix_badge_issuances_state", ["state", "reason", "portal_id"], unique=False)
        batch_op.create_index("ix_badge_issuances_user", ["user_id"], unique=False)

    op.create_table(
        "credly_connections",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("portal_id", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=64), nullable=False),
        sa.Column("token_block", sa.String(length=255), nullable=False),
        sa.Column("base_url", sa.String(length=500), nullable=False),
        sa.Column("token_ends_at", UtcDateTime(), nullable=True),
        sa.Column("calls_per_second", sa.Float(), nullable=False),
        sa.Column("missing_name", sa.String(length=100), nullable=False),
        sa.Column("connected_at", UtcDateTime(), nullable=False),
        sa.Column("planned_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("organization_id <> ''", name=op.f("ck_credly_connections_organization")),
        sa.CheckConstraint("token_block <> ''", name=op.f("ck_credly_connections_token_block")),
        sa.CheckConstraint(
            "calls_per_second > 0 AND calls_per_second <= 1000", name=op.f("ck_credly_connections_pace")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credly_connections")),
        sa.UniqueConstraint("portal_id", name=op.f("uq_credly_connections_portal_id")),
    )
    op.create_table(
        "credly_integrations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("achievement_id", sa.String(length=64), nullable=False),
        sa.Column("badge_template_id", sa.String(length=64), nullable=False),
        sa.Column("enabled_at", UtcDateTime(), nullable=False),
        sa.Column("issue_since", UtcDateTime(), nullable=True),
        sa.Column("planned_at", UtcDateTime(), nullable=True),
        sa.Column("paused_at", UtcDateTime(), nullable=True),
        sa.Column("held_at", UtcDateTime(), nullable=True),
        sa.Column(
            "earned_again",
            sa.Enum("refuse", "replace", name="earned_again", native_enum=False, create_constraint=True, length=40),
            server_default="refuse",
            nullable=False,
        ),
        sa.Column("revoke_when_withdrawn", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("revoke_reason", sa.String(length=255), server_default="", nullable=False),
        sa.Column("suppress_notification", sa.Boolean(), nullable=False),
        sa.Column("locale", sa.String(length=10), nullable=False),
        sa.Column(
            "expiry",
            sa.Enum(
                "template_default",
                "never",
                "after_days",
                name="expiry",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("expires_after_days", sa.Integer(), nullable=True),
        sa.Column("user_evidence", sa.Boolean(), nullable=False),
        sa.Column("user_evidence_name", sa.String(), nullable=False),
        sa.Column("user_evidence_description", sa.String(), nullable=False),
        sa.Column("company_evidence", sa.Boolean(), nullable=False),
        sa.Column("company_evidence_name", sa.String(), nullable=False),
        sa.Column("company_evidence_description", sa.String(), nullable=False),
        sa.Column("project_evidence", sa.Boolean(), nullable=False),
        sa.Column("project_evidence_name", sa.String(), nullable=False),
        sa.Column("project_evidence_description", sa.String(), nullable=False),
        sa.Column("portal_evidence", sa.Boolean(), nullable=False),
        sa.Column("portal_evidence_name", sa.String(), nullable=False),
        sa.Column("portal_evidence_description", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(expiry = 'after_days') = (expires_after_days IS NOT NULL)",
            name=op.f("ck_credly_integrations_expires_after_days"),
        ),
        sa.CheckConstraint("badge_template_id <> ''", name=op.f("ck_credly_integrations_badge_template")),
        sa.CheckConstraint(
            "expires_after_days IS NULL OR expires_after_days > 0", name=op.f("ck_credly_integrations_days_positive")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credly_integrations")),
        sa.UniqueConstraint("achievement_id", name=op.f("uq_credly_integrations_achievement_id")),
    )
    op.create_table(
        "planning_progress",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "round",
            sa.Enum("recent", "awards", "open", name="round", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("after_achievement", sa.String(length=64), nullable=False),
        sa.Column("after_user", sa.String(length=64), nullable=False),
        sa.Column("after_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rows_looked_through", sa.Integer(), nullable=False),
        sa.Column("last_round", sa.Integer(), nullable=False),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_planning_progress")),
        sa.UniqueConstraint("round", name=op.f("uq_planning_progress_round")),
    )
    op.create_table(
        "issuance_attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("issuance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "issue",
                "look_up",
                "replace",
                "revoke",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "outcome",
            sa.Enum(
                "issued",
                "found",
                "not_found",
                "refused",
                "throttled",
                "not_sent",
                "unclear",
                "not_connected",
                "revoked",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("credly_message", sa.String(length=500), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("request_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("field_names", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(length=36), nullable=True),
        sa.Column("task_run_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(["issuance_id"], ["badge_issuances.id"], name=op.f("fk_issuance_attempts_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuance_attempts")),
    )
    with op.batch_alter_table("issuance_attempts", schema=None) as batch_op:
        batch_op.create_index("ix_issuance_attempts_issuance", ["issuance_id", "started_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("issuance_attempts", schema=None) as batch_op:
        batch_op.drop_index("ix_issuance_attempts_issuance")

    op.drop_table("issuance_attempts")
    op.drop_table("planning_progress")
    op.drop_table("credly_integrations")
    op.drop_table("credly_connections")
    with op.batch_alter_table("badge_issuances", schema=None) as batch_op:
        batch_op.drop_index("ix_badge_issuances_user")
        batch_op.drop_index("ix_badge_issuances_state")
        batch_op.drop_index(
            "ix_badge_issuances_work",
            sqlite_where=sa.text("state IN ('pending', 'issuing')"),
            postgresql_where=sa.text("state IN ('pending', 'issuing')"),
        )
        batch_op.drop_index(
            "ix_badge_issuances_open",
            sqlite_where=sa.text("state NOT IN ('issued', 'issuing', 'cancelled')"),
            postgresql_where=sa.text("state NOT IN ('issued', 'issuing', 'cancelled')"),
        )
        batch_op.drop_index(
            "ix_badge_issuances_cancelled",
            sqlite_where=sa.text("state = 'cancelled'"),
            postgresql_where=sa.text("state = 'cancelled'"),
        )
        batch_op.drop_index(
            "ix_badge_issuances_replacing",
            sqlite_where=sa.text("replaces_badge_id IS NOT NULL"),
            postgresql_where=sa.text("replaces_badge_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_badge_issuances_leases",
            sqlite_where=sa.text("state = 'issuing'"),
            postgresql_where=sa.text("state = 'issuing'"),
        )
        batch_op.drop_index(
            "ix_badge_issuances_failed",
            sqlite_where=sa.text("state = 'failed'"),
            postgresql_where=sa.text("state = 'failed'"),
        )
        batch_op.drop_index(
            "ix_badge_issuances_due",
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )

    op.drop_table("badge_issuances")
