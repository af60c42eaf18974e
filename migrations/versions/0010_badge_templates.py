"""badge templates of the connected organizations, for the forms' menus."""

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "credly_templates",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("base_url", sa.String(500), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("template_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("image_url", sa.String(1000), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credly_templates"),
        sa.UniqueConstraint("base_url", "organization_id", "template_id", name="uq_credly_templates_template"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("credly_templates")
