"""what processes share: the pace of an organization's calls, and what a part of a run did."""

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "organization_pace",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("organization", sa.String(length=600), nullable=False),
        sa.Column("next_turn", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization_pace")),
        sa.UniqueConstraint("organization", name=op.f("uq_organization_pace_organization")),
    )
    op.create_table(
        "run_parts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("flow_run_id", sa.String(length=36), nullable=False),
        sa.Column("told", sa.String(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_parts")),
        sa.UniqueConstraint("flow_run_id", name=op.f("uq_run_parts_flow_run_id")),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("run_parts")
    op.drop_table("organization_pace")
