"""pause hold and requests by hand."""

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("badge_issuances", schema=None) as batch_op:
        batch_op.add_column(sa.Column("requested_by", sa.String(length=255), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("request_reason", sa.String(length=500), nullable=False, server_default=""))

    with op.batch_alter_table("credly_connections", schema=None) as batch_op:
        batch_op.add_column(sa.Column("token_ends_at", UtcDateTime(), nullable=True))

    with op.batch_alter_table("credly_integrations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("paused_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("held_at", UtcDateTime(), nullable=True))
        batch_op.add_column(
            sa.Column(
                "earned_again",
                sa.Enum("refuse", "replace", name="earned_again", native_enum=False, create_constraint=True, length=40),
                nullable=False,
                server_default="refuse",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("credly_integrations", schema=None) as batch_op:
        batch_op.drop_column("earned_again")
        batch_op.drop_column("held_at")
        batch_op.drop_column("paused_at")

    with op.batch_alter_table("credly_connections", schema=None) as batch_op:
        batch_op.drop_column("token_ends_at")

    with op.batch_alter_table("badge_issuances", schema=None) as batch_op:
        batch_op.drop_column("request_reason")
        batch_op.drop_column("requested_by")
