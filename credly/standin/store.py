"""The stand-in's state: SQLite through the standard library, one connection, used from one event loop."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

Row = dict[str, Any]
TOKEN_LIFE = timedelta(days=180)
SCOPES = (
    *("authorization_tokens", "badge_templates", "events", "invitations", "issued_badges"),
    *("memberships", "recommendations", "workforce"),
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS organizations (id TEXT PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
  token TEXT PRIMARY KEY, id TEXT NOT NULL, organization_id TEXT NOT NULL, read_enabled INTEGER NOT NULL,
  write_enabled INTEGER NOT NULL, delete_enabled INTEGER NOT NULL, created_at TEXT NOT NULL, expires_at TEXT,
  description TEXT);
CREATE TABLE IF NOT EXISTS templates (
  id TEXT PRIMARY KEY, organization_id TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
  allow_duplicate_badges INTEGER NOT NULL, default_expires_at TEXT, created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS addresses (address TEXT PRIMARY KEY, account TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS badges (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, organization_id TEXT NOT NULL,
  template_id TEXT NOT NULL, recipient_email TEXT NOT NULL, email_key TEXT NOT NULL, issuer_earner_id TEXT,
  first_name TEXT NOT NULL, middle_name TEXT, last_name TEXT NOT NULL, state TEXT NOT NULL, public INTEGER NOT NULL,
  issued_at TEXT NOT NULL, expires_at TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, state_updated_at TEXT,
  locale TEXT NOT NULL, suppressed INTEGER NOT NULL, country TEXT, state_or_province TEXT, revocation_reason TEXT,
  replaces_badge_id TEXT, replacement_badge_id TEXT, evidence TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS badges_template ON badges (organization_id, template_id, email_key);
CREATE INDEX IF NOT EXISTS badges_email ON badges (email_key);
CREATE INDEX IF NOT EXISTS badges_earner ON badges (issuer_earner_id);
CREATE TABLE IF NOT EXISTS badges_counts (template_id TEXT PRIMARY KEY, badges INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
  query TEXT NOT NULL, status INTEGER, fields TEXT NOT NULL, earner TEXT NOT NULL, fault TEXT);
CREATE TABLE IF NOT EXISTS outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, sent_at TEXT NOT NULL, kind TEXT NOT NULL, recipient_email TEXT NOT NULL,
  badge_id TEXT NOT NULL, locale TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS applications (
  uid TEXT PRIMARY KEY, secret TEXT NOT NULL, organization_id TEXT NOT NULL, scopes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS access_tokens (
  token TEXT PRIMARY KEY, organization_id TEXT NOT NULL, scopes TEXT NOT NULL, expires_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, organization_id TEXT NOT NULL,
  event_type TEXT NOT NULL, occurred_at TEXT NOT NULL, subject_id TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, deliver_at TEXT, delivered_at TEXT);
CREATE INDEX IF NOT EXISTS events_due ON events (deliver_at) WHERE deliver_at IS NOT NULL;
"""
# The changes that become an event (11). Triggers, so that no code path can forget one. An event is delivered if its
# organization has an address for that.
_EVENTS = (
    ("badge.created", "INSERT ON badges"),
    ("badge.state.changed", "UPDATE OF state ON badges WHEN OLD.state <> NEW.state"),
    ("badge.privacy.changed", "UPDATE OF public ON badges WHEN OLD.public <> NEW.public"),
    ("badge.deleted", "UPDATE OF deleted ON badges WHEN NEW.deleted > OLD.deleted"),
    ("badge_template.created", "INSERT ON templates"),
    ("badge_template.changed", "UPDATE ON templates"),
)
_TRIGGER = """
CREATE TRIGGER IF NOT EXISTS "{event}" AFTER {change} BEGIN
  INSERT INTO events (id, organization_id, event_type, occurred_at, subject_id, deliver_at)
  SELECT new_id(), NEW.organization_id, '{event}', present(), NEW.id, (SELECT present() FROM organizations
    WHERE id = NEW.organization_id AND json_extract(body, '$.webhook_url') IS NOT NULL);
END;
"""
# Every badge in a reply has its template's number of badges. Counting them for each reply makes a hundred thousand
# badges take hours, so a table has the counts.
_COUNTING = """
CREATE TRIGGER IF NOT EXISTS badges_count_more AFTER INSERT ON badges WHEN NOT NEW.deleted BEGIN
  INSERT INTO badges_counts VALUES (NEW.template_id, 1) ON CONFLICT (template_id) DO UPDATE SET badges = badges + 1;
END;
CREATE TRIGGER IF NOT EXISTS badges_count_fewer AFTER UPDATE OF deleted ON badges WHEN NEW.deleted > OLD.deleted BEGIN
  UPDATE badges_counts SET badges = badges - 1 WHERE template_id = NEW.template_id;
END;
INSERT OR REPLACE INTO badges_counts SELECT template_id, count(*) FROM badges WHERE deleted = 0 GROUP BY template_id;
"""
_TABLES = (
    "badges_counts",
    *("organizations", "tokens", "templates", "addresses", "badges", "requests", "outbox"),
    *("applications", "access_tokens", "events"),
)


class Store:
    """The state of the stand-in, in a file or in memory; in memory it is lost at the end."""

    def __init__(self, database: str = ":memory:") -> None:
        self._connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        # SQLite's own lower() changes ASCII letters only.
        self._connection.create_function("lower", 1, str.lower, deterministic=True)
        self._connection.create_function("present", 0, lambda: text_of(self.now()))
        self._connection.create_function("new_id", 0, lambda: str(uuid4()))
        # Losing the last badges in a power cut is no harm here, and waiting for the disk makes every call slower.
        for pragma in ("journal_mode = WAL", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(
            _SCHEMA + "".join(_TRIGGER.format(event=event, change=change) for event, change in _EVENTS) + _COUNTING
        )
        self.clock_offset = timedelta()
        self.resets = 0

    def close(self) -> None:
        self._connection.close()

    def now(self) -> datetime:
        """Return the stand-in's present moment in UTC; its clock can be moved."""
        return datetime.now(UTC) + self.clock_offset

    def reset(self) -> None:
        for name in _TABLES:
            self._connection.execute(f"DELETE FROM {name}")  # noqa: S608 - our own names
        self.clock_offset = timedelta()
        self.resets += 1

    def all(self, sql: str, *values: Any) -> list[Row]:
        return [dict(row) for row in self._connection.execute(sql, values)]

    def one(self, sql: str, *values: Any) -> Row | None:
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else dict(row)

    def execute(self, sql: str, *values: Any) -> int:
        return self._connection.execute(sql, values).rowcount

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:  # also a cancelled request: the one connection would stay in its transaction
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def put(self, name: str, row: Mapping[str, Any]) -> None:
        """Insert a row, in place of one with the same key."""
        columns, marks = ", ".join(row), ", ".join("?" for _ in row)
        self._connection.execute(
            f"INSERT OR REPLACE INTO {name} ({columns}) VALUES ({marks})",  # noqa: S608 - our own names
            tuple(row.values()),
        )

    def organization(self, organization_id: str) -> Row | None:
        return self.one("SELECT * FROM organizations WHERE id = ?", organization_id)

    def template(self, template_id: str) -> Row | None:
        return self.one("SELECT * FROM templates WHERE id = ?", template_id)

    def badge(self, badge_id: str) -> Row | None:
        return self.one("SELECT * FROM badges WHERE id = ? AND deleted = 0", badge_id)

    def account_of(self, address: str) -> str | None:
        row = self.one("SELECT account FROM addresses WHERE address = ?", address.lower())
        return None if row is None else str(row["account"])

    def addresses_of(self, address: str) -> list[str]:
        """Return every address of the account that this one belongs to, itself included, in lower case."""
        account = self.account_of(address)
        rows = self.all("SELECT address FROM addresses WHERE account = ?", account) if account else []
        return [row["address"] for row in rows] or [address.lower()]

    def seed(self, data: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Put in organizations, tokens, templates, accounts and applications, with defaults for what is left out."""
        stamp = text_of(self.now())
        for row in data.get("organizations", ()):
            self.put("organizations", {"id": row["id"], "name": row.get("name", "Sample"), "body": json.dumps(row)})
        for row in data.get("tokens", ()):
            self.put("tokens", _token(row, stamp=stamp, default_end=text_of(self.now() + TOKEN_LIFE)))
        for row in data.get("templates", ()):
            self.put("templates", _template(row, stamp=stamp))
        for row in data.get("accounts", ()):
            account = str(row.get("id") or uuid4())
            for address in row["addresses"]:
                self.put("addresses", {"address": str(address).lower(), "account": account})
        for row in data.get("applications", ()):
            own = {name: row[name] for name in ("uid", "secret", "organization_id")}
            self.put("applications", own | {"scopes": " ".join(row.get("scopes", SCOPES))})


def _token(row: Mapping[str, Any], *, stamp: str, default_end: str) -> Row:
    flags = {name: int(row.get(name, True)) for name in ("read_enabled", "write_enabled", "delete_enabled")}
    return {
        "token": row["token"],
        "id": str(row.get("id") or uuid4()),
        "organization_id": row["organization_id"],
        **flags,
        "created_at": row.get("created_at", stamp),
        "expires_at": row.get("expires_at", default_end),
        "description": row.get("description", "Stand-in token"),
    }


def _template(row: Mapping[str, Any], *, stamp: str) -> Row:
    return {
        "id": row["id"],
        "organization_id": row["organization_id"],
        "name": row.get("name", "Sample badge"),
        "state": row.get("state", "active"),
        "allow_duplicate_badges": int(row.get("allow_duplicate_badges", False)),
        "default_expires_at": row.get("default_expires_at"),
        "created_at": row.get("created_at", stamp),
        "updated_at": row.get("updated_at", stamp),
        "body": json.dumps(row),
    }


def text_of(moment: datetime) -> str:
    """Return a moment as Credly writes it: UTC, ISO 8601 with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
