"""moments of the ledger that Python cannot have, PostgreSQL's infinity and years above 9999, become the last one it has.

They came from awards that were dated so. Planning reads the ledger's rows, and one such moment would stop it.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FIRST, LAST = "0001-01-02 00:00:00+00", "9999-12-31 23:59:59+00"


def upgrade() -> None:
    """Change such rows, if there are any. SQLite has no such moments."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for column in ("awarded_at", "not_before"):
        for wrong, right in ((f"> '{LAST}'", LAST), (f"< '{FIRST}'", FIRST)):
            op.execute(f"UPDATE badge_issuances SET {column} = '{right}' WHERE {column} {wrong}")


def downgrade() -> None:
    """Nothing: what they were is not kept."""
