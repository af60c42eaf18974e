"""what was stopped in the last minutes is found by an index, however long runs are kept."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_NAME, _TABLE = "ix_run_organizations_ended_at", "run_organizations"


def upgrade() -> None:
    """Create the index."""
    op.create_index(_NAME, _TABLE, ["ended_at"])


def downgrade() -> None:
    """Remove it."""
    op.drop_index(_NAME, _TABLE)
