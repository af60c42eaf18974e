"""the organization that issued a badge is kept: its portal may be connected to another one later."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLE, _COLUMN = "badge_issuances", "issued_by"


def upgrade() -> None:
    """Add the column, empty for the badges that there are."""
    op.add_column(_TABLE, sa.Column(_COLUMN, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True))


def downgrade() -> None:
    """Remove it."""
    op.drop_column(_TABLE, _COLUMN)
