"""named transitions and their history, one row per user and achievement, and the organization of outstanding calls."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from models.columns import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ROWS_AT_ONCE = 50_000
_STATES = ("pending", "issuing", "issued", "blocked", "failed", "cancelled")
_REASONS = (
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
    "not_permitted",
    "duplicate_elsewhere",
    "attempts_used_up",
    "throttled",
    "not_reachable",
    "answer_unclear",
    "look_up_failed",
    "awarded_in_future",
    "integration_removed",
    "award_withdrawn",
)
_WITH_ERASED = (*_REASONS, "user_erased")
_SETTINGS_ACTIONS = (
    "connected",
    "disconnected",
    "enabled",
    "disabled",
    "changed",
    "paused",
    "resumed",
    "held",
    "released",
)
_OPEN = ("pending", "blocked", "failed")
_COUNTED = ("issued", "failed", "blocked", "pending", "cancelled")
# By name: the states before, and after; none after is the state as it was.
_RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "enqueue": (("new",), ("pending", "blocked")),
    "claim": (("pending",), ("issuing",)),
    "take_over": (("issuing",), ("issuing",)),
    "release": (("issuing",), ("pending",)),
    "issue": (("issuing",), ("issued",)),
    "defer": (("issuing", "failed"), ("pending",)),
    "fail": (("issuing",), ("failed",)),
    "block": (("pending", "blocked", "issuing"), ("blocked",)),
    "unblock": (("blocked",), ("pending",)),
    "cancel": ((*_OPEN, "issuing"), ("cancelled",)),
    "revive": (("cancelled",), ("pending", "blocked")),
    "request": (("new", *_OPEN, "cancelled"), ("pending",)),
    "retry": (("failed",), ("pending",)),
    "replace": (("issued",), ("pending",)),
    "restore": ((*_OPEN, "cancelled"), ("issued",)),
    "revoke": (("issued",), ("cancelled",)),
    "change_template": ((*_OPEN, "cancelled"), ()),
    "transfer": ((*_OPEN, "issued"), ()),
    "abandon": (_OPEN, ()),
    "erase": (("pending", "issued", "blocked", "failed", "cancelled"), ("issued", "cancelled")),
}


def upgrade() -> None:
    """Add the tables and columns, choose the row of each pair, and reconstruct the history of existing rows."""
    _create_tables()
    op.add_column("badge_issuances", sa.Column("transition", sa.String(40), server_default="unknown", nullable=False))
    op.add_column("badge_issuances", sa.Column("moves", sa.Integer(), server_default="0", nullable=False))
    op.add_column("badge_issuances", sa.Column("former", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("badge_issuances", sa.Column("sent_to", _own_id(), nullable=True))
    _change_reasons(_REASONS, _WITH_ERASED)
    _note_where_calls_went()
    _choose_the_row_of_each_pair()
    _begin_the_history()
    _begin_the_settings_history()
    # After the history was reconstructed, and before rows are cancelled, which it then records.
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
    _cancel_what_was_never_sent_beside_it()
    op.create_index(
        "ix_badge_issuances_pair",
        "badge_issuances",
        ["achievement_id", "user_id"],
        unique=True,
        sqlite_where=sa.text("former = false"),
        postgresql_where=sa.text("former = false"),
    )
    op.create_index("ix_badge_issuances_award", "badge_issuances", ["award_id"])
    op.execute(_HISTORY_VIEW)
    op.execute(_SETTINGS_VIEW)


def downgrade() -> None:
    """Remove them; rows of erased users get the reason of withdrawn awards."""
    op.execute("DROP VIEW laurel_settings_history")
    op.execute("DROP VIEW laurel_history")
    for statement in _DROP_TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
    op.execute("UPDATE badge_issuances SET reason = 'award_withdrawn' WHERE reason = 'user_erased'")
    _change_reasons(_WITH_ERASED, _REASONS)
    op.drop_index("ix_badge_issuances_award", "badge_issuances")
    op.drop_index("ix_badge_issuances_pair", "badge_issuances")
    for column in ("sent_to", "former", "moves", "transition"):
        op.drop_column("badge_issuances", column)
    for name in (
        "issuance_history",
        "settings_history",
        "operator_runs",
        "run_portals",
        "run_findings",
        "run_organizations",
        "erased_users",
        "erased_badges",
        "credly_organizations",
    ):
        op.drop_table(name)


def _create_tables() -> None:
    op.create_table(
        "credly_organizations",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("base_url", sa.String(500), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("token_block", sa.String(255), nullable=False),
        sa.Column("calls_per_second", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credly_organizations")),
        sa.UniqueConstraint("base_url", "organization_id", name="uq_credly_organizations_organization"),
    )
    op.create_table(
        "issuance_history",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("issuance_id", _own_id(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("transition", _enum("transition", *_RULES, "unknown"), nullable=False),
        sa.Column("from_state", _enum("from_state", *_STATES), nullable=True),
        sa.Column("to_state", _enum("to_state", *_STATES), nullable=False),
        sa.Column("reason", _enum("reason", *_WITH_ERASED), nullable=True),
        sa.Column("badge_template_id", sa.String(64), nullable=False),
        sa.Column("flow_run_id", sa.String(36), nullable=True),
        sa.Column("reconstructed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint(_is_legal(), name=op.f("ck_issuance_history_legal")),
        sa.ForeignKeyConstraint(["issuance_id"], ["badge_issuances.id"], name=op.f("fk_issuance_history_issuance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuance_history")),
    )
    op.create_index("ix_issuance_history_issuance", "issuance_history", ["issuance_id", "id"])
    op.create_index("ix_issuance_history_run", "issuance_history", ["flow_run_id"])
    op.create_table(
        "settings_history",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("settings_of", _enum("settings_of", "connection", "integration"), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("action", _enum("action", *_SETTINGS_ACTIONS), nullable=False),
        sa.Column("changes", sa.String(), nullable=False),
        sa.Column("flow_run_id", sa.String(36), nullable=True),
        sa.Column("reconstructed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settings_history")),
    )
    op.create_index("ix_settings_history_subject", "settings_history", ["settings_of", "subject_id", "id"])
    op.create_table(
        "operator_runs",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("flow_run_id", sa.String(36), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("creator", sa.String(255), nullable=False),
        sa.Column("operator_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_runs")),
        sa.UniqueConstraint("flow_run_id", name=op.f("uq_operator_runs_flow_run_id")),
    )
    op.create_table(
        "run_organizations",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("flow_run_id", sa.String(36), nullable=False),
        sa.Column("started_by", sa.String(36), nullable=False),
        sa.Column("organization_id", sa.String(64), nullable=False),
        sa.Column("base_url", sa.String(500), nullable=False),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("stopped", _enum("stopped", *_WITH_ERASED), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_organizations")),
    )
    op.create_index("ix_run_organizations_run", "run_organizations", ["flow_run_id"])
    op.create_index("ix_run_organizations_started_by", "run_organizations", ["started_by"])
    op.create_table(
        "run_findings",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("flow_run_id", sa.String(36), nullable=True),
        sa.Column("issued", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("backlog", sa.Integer(), nullable=False),
        sa.Column("alarms", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_findings")),
    )
    op.create_table(
        "run_portals",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("flow_run_id", sa.String(36), nullable=True),
        sa.Column("portal_id", sa.String(64), nullable=False),
        *(sa.Column(state, sa.Integer(), nullable=False) for state in _COUNTED),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_portals")),
    )
    op.create_index("ix_run_portals_portal", "run_portals", ["portal_id", "id"])
    op.create_table(
        "erased_users",
        sa.Column("id", _own_id(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("erased_at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.String(500), server_default="", nullable=False),
        sa.Column("requested_by", sa.String(255), server_default="", nullable=False),
        sa.Column("flow_run_id", sa.String(36), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erased_users")),
        sa.UniqueConstraint("digest", name=op.f("uq_erased_users_digest")),
    )
    op.create_table(
        "erased_badges",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erased_badges")),
    )


def _own_id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)


def _is_legal() -> str:
    whens = " ".join(f"WHEN '{name}' THEN {_allows(*rule)}" for name, rule in _RULES.items())
    leads_to = {
        source: sorted(
            {target for sources, targets in _RULES.values() if source in sources for target in (targets or (source,))}
        )
        for source in _STATES
    }
    by_source = " ".join(f"WHEN '{source}' THEN to_state IN ({_listed(leads_to[source])})" for source in _STATES)
    return f"CASE transition {whens} ELSE from_state IS NULL OR CASE from_state {by_source} END END"


def _allows(sources: tuple[str, ...], targets: tuple[str, ...]) -> str:
    known = [state for state in sources if state != "new"]
    before = [
        *(["from_state IS NULL"] if "new" in sources else []),
        *([f"from_state IN ({_listed(known)})"] if known else []),
    ]
    return f"({' OR '.join(before)}) AND {f'to_state IN ({_listed(targets)})' if targets else 'to_state = from_state'}"


def _listed(values: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _change_reasons(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    # Without rewriting the table, which may have a million rows.
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        # SQLite's documented procedure for changes that do not affect stored rows (lang_altertable.html, section 7).
        version = connection.scalar(sa.text("PRAGMA schema_version"))
        connection.execute(sa.text("PRAGMA writable_schema = ON"))
        change = "UPDATE sqlite_schema SET sql = replace(sql, :before, :after) WHERE name = 'badge_issuances'"
        connection.execute(sa.text(change), {"before": f"({_listed(before)})", "after": f"({_listed(after)})"})
        connection.execute(sa.text(f"PRAGMA schema_version = {version + 1}"))
        connection.execute(sa.text("PRAGMA writable_schema = OFF"))
        return
    op.drop_constraint(op.f("ck_badge_issuances_reason"), "badge_issuances", type_="check")
    op.create_check_constraint(op.f("ck_badge_issuances_reason"), "badge_issuances", f"reason IN ({_listed(after)})")


_OUTSTANDING = (
    "(state = 'issuing' OR (unclear_at IS NOT NULL AND state <> 'issued' AND (reason IS NULL OR reason NOT IN "
    "('refused_by_credly', 'not_permitted', 'template_not_found', 'template_not_active'))))"
)


def _note_where_calls_went() -> None:
    # Earlier versions did not store the organization of a call. The one that the portal is connected to now is the best
    # that is known.
    op.execute(
        "INSERT INTO credly_organizations (base_url, organization_id, token_block, calls_per_second)"
        " SELECT base_url, organization_id, max(token_block), min(calls_per_second) FROM credly_connections"
        " GROUP BY base_url, organization_id"
    )
    op.execute(
        "UPDATE badge_issuances SET sent_to = (SELECT o.id FROM credly_connections c JOIN credly_organizations o"
        " ON o.base_url = c.base_url AND o.organization_id = c.organization_id"
        f" WHERE c.portal_id = badge_issuances.portal_id) WHERE {_OUTSTANDING}"
    )


def _choose_the_row_of_each_pair() -> None:
    # The row with a badge, else with an outstanding call, else a waiting one, else the latest. The others may have been
    # sent, so they stay as `former` rows.
    rank = (
        "CASE WHEN state = 'issued' THEN 0 WHEN replaces_badge_id IS NOT NULL THEN 1 WHEN state = 'issuing' THEN 2"
        f" WHEN {_OUTSTANDING} THEN 3 WHEN state = 'cancelled' THEN 5 ELSE 4 END"
    )
    op.execute(
        "UPDATE badge_issuances SET former = true WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER"
        f" (PARTITION BY achievement_id, user_id ORDER BY {rank}, id DESC) AS place FROM badge_issuances) ranked"
        " WHERE place > 1)"
    )


def _cancel_what_was_never_sent_beside_it() -> None:
    statement = sa.text(
        "UPDATE badge_issuances SET state = 'cancelled', reason = 'integration_removed', transition = 'cancel',"
        " moves = moves + 1, updated_at = :now, flow_run_id = NULL, task_run_id = NULL"
        f" WHERE former AND state IN ('pending', 'blocked') AND NOT {_OUTSTANDING}"
    ).bindparams(sa.bindparam("now", datetime.now(UTC), type_=UtcDateTime()))
    op.get_bind().execute(statement)


# A manual issue has overwritten the origin of rows that were created for an award.
_FIRST = "CASE WHEN origin = 'award' THEN 'enqueue' WHEN award_id IS NULL THEN 'request' ELSE 'unknown' END"


def _begin_the_history() -> None:
    # For each row its creation and, if it has left the first state, its current state.
    columns = (
        "(issuance_id, at, transition, from_state, to_state, reason, badge_template_id, flow_run_id, reconstructed)"
    )
    # In portions: a ledger may have a million rows.
    for first, last in _portions():
        part = f"id > {first} AND id <= {last}"
        op.execute(
            f"INSERT INTO issuance_history {columns} SELECT id, planned_at, {_FIRST}, NULL, 'pending', NULL,"
            f" badge_template_id, NULL, true FROM badge_issuances WHERE {part} ORDER BY id"
        )
        op.execute(
            f"INSERT INTO issuance_history {columns} SELECT id, CASE WHEN state = 'issued' THEN recorded_at ELSE"
            " updated_at END, 'unknown', NULL, state, reason, badge_template_id, flow_run_id, true FROM badge_issuances"
            f" WHERE {part} AND state <> 'issuing' AND NOT (state = 'pending' AND reason IS NULL AND attempts = 0)"
            " ORDER BY id"
        )


def _begin_the_settings_history() -> None:
    # The current settings with the moment of their creation: earlier values were not stored.
    connection, rows = op.get_bind(), []
    for settings_of, key, at, action in (
        ("connection", "portal_id", "connected_at", "connected"),
        ("integration", "achievement_id", "enabled_at", "enabled"),
    ):
        stored = sa.Table(f"credly_{settings_of}s", sa.MetaData(), autoload_with=connection)
        for row in connection.execute(sa.select(stored).order_by(stored.c.id)).mappings():
            changes = {
                name: (None, _as_json(value))
                for name, value in row.items()
                if value is not None and name not in _NOT_SETTINGS
            }
            rows.append(
                {
                    "at": _utc(row[at]),
                    "settings_of": settings_of,
                    "subject_id": row[key],
                    "action": action,
                    "changes": json.dumps(changes, ensure_ascii=False),
                    "reconstructed": True,
                }
            )
    if rows:
        columns = [sa.column(name) for name in rows[0]]
        columns[0] = sa.column("at", UtcDateTime())
        connection.execute(sa.insert(sa.table("settings_history", *columns)), rows)


_NOT_SETTINGS = {"id", "portal_id", "achievement_id", "planned_at", "token_ends_at", "connected_at"}


def _as_json(value: Any) -> Any:
    return _utc(value).isoformat() if isinstance(value, datetime) else value


def _utc(moment: datetime) -> datetime:
    # SQLite stores moments without a zone.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _portions() -> Iterator[tuple[int, int]]:
    largest = op.get_bind().scalar(sa.text("SELECT max(id) FROM badge_issuances")) or 0
    for first in range(0, largest, _ROWS_AT_ONCE):
        yield first, first + _ROWS_AT_ONCE


_APPEND = """INSERT INTO issuance_history
  (issuance_id, at, transition, from_state, to_state, reason, badge_template_id, flow_run_id)
  VALUES (NEW.id, NEW.updated_at, {transition}, {before}, NEW.state, NEW.reason, NEW.badge_template_id,
    NEW.flow_run_id)"""
_NEW = _APPEND.format(
    transition="CASE WHEN NEW.moves = 1 THEN NEW.transition ELSE 'unknown' END",
    before="NULL",
)
_CHANGED = _APPEND.format(
    transition="CASE WHEN NEW.moves > OLD.moves THEN NEW.transition ELSE 'unknown' END", before="OLD.state"
)
# Claims and releases are not recorded: issuance_attempts has the calls that they belong to.
_KEPT = (
    "NOT (OLD.state = 'pending' AND NEW.state = 'issuing')"
    " AND NOT (NEW.moves > OLD.moves AND NEW.transition = 'release')"
)
_TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER laurel_history_new AFTER INSERT ON badge_issuances BEGIN {_NEW}; END",
        f"CREATE TRIGGER laurel_history_changed AFTER UPDATE OF state ON badge_issuances WHEN {_KEPT}"
        f" BEGIN {_CHANGED}; END",
    ),
    "postgresql": (
        f"CREATE FUNCTION laurel_history_new() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_NEW}; RETURN NULL; END $$",
        "CREATE FUNCTION laurel_history_changed() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_CHANGED}; RETURN NULL; END $$",
        "CREATE TRIGGER laurel_history_new AFTER INSERT ON badge_issuances"
        " FOR EACH ROW EXECUTE FUNCTION laurel_history_new()",
        "CREATE TRIGGER laurel_history_changed AFTER UPDATE OF state ON badge_issuances"
        f" FOR EACH ROW WHEN ({_KEPT}) EXECUTE FUNCTION laurel_history_changed()",
    ),
}
_DROP_TRIGGERS = {
    "sqlite": ("DROP TRIGGER laurel_history_new", "DROP TRIGGER laurel_history_changed"),
    "postgresql": (
        "DROP FUNCTION laurel_history_new() CASCADE",
        "DROP FUNCTION laurel_history_changed() CASCADE",
    ),
}

_HISTORY_VIEW = """\
CREATE VIEW laurel_history AS
SELECT
    h.id AS history_id, h.issuance_id, i.portal_id, i.achievement_id, i.user_id, h.badge_template_id,
    h.at, h.transition, h.from_state, h.to_state, h.reason, h.flow_run_id, o.operator_id, h.reconstructed
FROM issuance_history AS h
JOIN badge_issuances AS i ON i.id = h.issuance_id
LEFT JOIN operator_runs AS o ON o.flow_run_id = h.flow_run_id"""

_SETTINGS_VIEW = """\
CREATE VIEW laurel_settings_history AS
SELECT
    h.id AS settings_history_id, h.settings_of, h.subject_id, h.at, h.action, h.changes,
    h.flow_run_id, o.operator_id, h.reconstructed
FROM settings_history AS h
LEFT JOIN operator_runs AS o ON o.flow_run_id = h.flow_run_id"""
