"""how far events and the audit's round have been read, the view of badges, and renewal of tokens."""

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "organization_cursors",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("base_url", sa.String(500), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("events_until", UtcDateTime(), nullable=True),
        sa.Column("events_from", UtcDateTime(), nullable=True),
        sa.Column("events_page", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("events_fault", sa.String(60), server_default="", nullable=False),
        sa.Column("polled_at", UtcDateTime(), nullable=True),
        sa.Column("round_began_at", UtcDateTime(), nullable=True),
        sa.Column("round_page", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organization_cursors"),
        sa.UniqueConstraint("base_url", "organization_id", name="uq_organization_cursors_organization"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("organization_cursors")
