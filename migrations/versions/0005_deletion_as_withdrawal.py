"""whether an award whose row is gone counts as withdrawn: a setting of a connection, off."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; connections that exist do not count deletions."""
    with op.batch_alter_table("credly_connections", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("deletion_withdraws", sa.Boolean(), server_default=sa.text("false"), nullable=False)
        )


def downgrade() -> None:
    """Remove it."""
    # Not in a batch, which would copy the table on SQLite and leave its CHECKs behind.
    op.drop_column("credly_connections", "deletion_withdraws")
