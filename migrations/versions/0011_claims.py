"""how far events and the audit's round have been read, the view of badges, and renewal of tokens."""

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


_BADGES = """\
CREATE VIEW laurel_badges AS
SELECT
    id AS issuance_id, portal_id, achievement_id, user_id, badge_template_id, state, recorded_at,
    CASE WHEN state = 'issued' THEN badge_url END AS badge_url,
    CASE WHEN state = 'issued' THEN CASE WHEN audited_at >= recorded_at
        THEN coalesce(credly_state, 'pending') ELSE 'pending' END END AS claim_state
FROM badge_issuances
WHERE former = false AND transition <> 'erase'"""


def upgrade() -> None:
    """Create table, view and columns."""
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
    op.execute(_BADGES)
    # Not in a batch: SQLite would copy the table, which Laurel reads meanwhile.
    op.add_column(
        "credly_connections", sa.Column("renew_token", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("credly_connections", sa.Column("renewal_tried_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Drop both, and the columns."""
    op.drop_column("credly_connections", "renewal_tried_at")
    op.drop_column("credly_connections", "renew_token")
    op.execute("DROP VIEW laurel_badges")
    op.drop_table("organization_cursors")
