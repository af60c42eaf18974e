"""Reads what planning decides on from the ledger: settings, and the rows of pairs of achievement and user."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, String, and_, cast, func, select, update

from models.by_key import portions
from models.columns import as_stored
from models.database import Database
from models.ledger.conditions import in_states, is_outstanding
from models.ledger.tables import BadgeIssuance
from models.platform.awards import Key, by_achievement, is_after, of_keys
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.forms.inputs import EarnedAgain, WhenDataChanges
from rules.ledger.eligibility import Coverage, Decision, Issuance, Pair
from rules.ledger.states import QUEUED, IssuanceState

issuances = table(BadgeIssuance)
integrations = table(CredlyIntegration)
connections = table(CredlyConnection)

_KEY = (issuances.c.achievement_id, issuances.c.user_id)
COVERAGE_COLUMNS = ("badge_template_id", "enabled_at", "issue_since", "earned_again", "when_data_changes")
"""The settings that decide what is planned: a `Coverage` is made of them."""
OPEN: ColumnElement[bool] = ~in_states(IssuanceState.ISSUED, IssuanceState.ISSUING, IssuanceState.CANCELLED)
# Hints for SQLite, which would choose otherwise.
_OPEN_INDEX = "INDEXED BY ix_badge_issuances_open"  # instead of the index by state, and a sort of all open rows
_CANCELLED_INDEX = "INDEXED BY ix_badge_issuances_cancelled"  # instead of the index by state
_NO_INDEX = "NOT INDEXED"  # instead of a sort of all rows of one state for each page
_COLUMNS = (
    *(
        issuances.c[name]
        for name in (
            "id",
            "achievement_id",
            "user_id",
            "badge_template_id",
            "portal_id",
            "state",
            "origin",
            "reason",
            "award_id",
            "awarded_at",
            "credly_badge_id",
            "replaces_badge_id",
            "name_digest",
            "former",
        )
    ),
    is_outstanding().label("outstanding"),
)  # in the order of `_with_key`


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The settings planning needs: coverage by achievement, and the connected portals.

    `deletions_may_count` are those of them in which an award whose row is deleted may count as withdrawn.
    """

    coverages: dict[str, Coverage]
    connected: frozenset[str]
    deletions_may_count: frozenset[str]

    @property
    def earliest(self) -> datetime | None:
        """The moment before which no award is covered; None if there is no integration."""
        return min((each.covers_from for each in self.coverages.values()), default=None)


def setup_of(connection: Connection, achievement_ids: Iterable[str] | None = None) -> Setup:
    """Return the current settings; of these achievements only, and locked until the transaction ends, if given."""
    query = select(integrations.c.achievement_id, *(integrations.c[name] for name in COVERAGE_COLUMNS))
    if achievement_ids is not None:
        query = query.where(integrations.c.achievement_id.in_(list(achievement_ids)))
        # Locked before the rows are read, so that a decision for an integration is written before that changes; in one
        # order, so that two transactions cannot deadlock.
        query = query.order_by(integrations.c.achievement_id).with_for_update(read=True)
    found = connection.execute(query).all()
    connected = connection.execute(select(connections.c.portal_id, connections.c.deletion_withdraws)).all()
    return Setup(
        coverages={
            row.achievement_id: Coverage(
                badge_template_id=row.badge_template_id,
                covers_from=row.issue_since or row.enabled_at,
                replaces=row.earned_again is EarnedAgain.REPLACE,
                follows_names=row.when_data_changes is WhenDataChanges.REPLACE,
            )
            for row in found
        },
        connected=frozenset(row.portal_id for row in connected),
        deletions_may_count=frozenset(row.portal_id for row in connected if row.deletion_withdraws),
    )


def active_among(connection: Connection, keys: Collection[Key]) -> dict[Key, datetime | None]:
    """Return the pairs that have a row that is not cancelled, with the `awarded_at` of its issued badge."""
    issued = func.max(issuances.c.awarded_at).filter(issuances.c.state == IssuanceState.ISSUED).label("awarded_at")
    query = _ACTIVE.add_columns(issued).group_by(issuances.c.achievement_id, issuances.c.user_id)
    return {(achievement_id, user_id): moment for achievement_id, user_id, moment in _of_keys(connection, query, keys)}


def have_active(connection: Connection, keys: Collection[Key]) -> dict[Key, datetime | None]:
    """Return the same pairs as `active_among` without the moment, in half the time: if nothing is replaced."""
    return dict.fromkeys(_keys_among(connection, _ACTIVE, keys))


def active_between(connection: Connection, after: Key, until: Key, *, at_most: int) -> set[Key]:
    """Return the pairs after one key up to another that have a row that is not cancelled.

    May omit pairs: those that also have a cancelled row, and those that the platform orders differently than the
    ledger. Returns none if the ledger has `at_most` rows or more between the keys.
    """
    return _active(connection, and_(is_after(_KEY, after), ~is_after(_KEY, until)), at_most)


def active_of(connection: Connection, achievement_ids: Collection[str], *, at_most: int) -> set[Key]:
    """Return the same of all pairs of these achievements: where the platform orders keys as integers."""
    return _active(connection, issuances.c.achievement_id.in_(achievement_ids), at_most)


def _active(connection: Connection, part: ColumnElement[bool], at_most: int) -> set[Key]:
    # Two statements, each answered by an index alone: a condition on the state would read the table for every row.
    found = as_stored(connection, select(*_KEY).where(part).limit(at_most))
    if len(found) == at_most:
        return set()
    cancelled = (
        select(*_KEY).where(part, in_states(IssuanceState.CANCELLED)).with_hint(issuances, _CANCELLED_INDEX, "sqlite")
    )
    return set(found).difference(as_stored(connection, cancelled))


_ACTIVE = select(*_KEY).where(issuances.c.state != IssuanceState.CANCELLED)


def ended_among(connection: Connection, keys: Collection[Key]) -> set[Key]:
    """Return the pairs that have a row which is neither cancelled nor becomes due by itself."""
    return _keys_among(connection, _ACTIVE.where(issuances.c.state.not_in(QUEUED)), keys)


def rows_of_awards(connection: Connection, award_ids: Collection[str]) -> dict[str, tuple[Key, Issuance]]:
    """Return, by the award's id, the row that was created for it, with its pair, whoever has the award now."""
    query = select(*_COLUMNS).where(~issuances.c.former).order_by(issuances.c.id.desc())
    found: dict[str, tuple[Key, Issuance]] = {}
    for part in portions(award_ids):
        rows = _with_keys(connection, query.where(issuances.c.award_id.in_(part)))
        found |= {row.award_id: (key, row) for key, row in rows if row.award_id is not None}
    return found


def lock_again(connection: Connection, rows: Mapping[Key, Issuance]) -> dict[Key, Issuance]:
    """Return these rows as they are now, locked until the transaction ends."""
    query = select(*_COLUMNS).order_by(issuances.c.id).with_for_update(key_share=True)
    now = {
        row.issuance_id: row
        for part in portions(row.issuance_id for row in rows.values())
        for _, row in _with_keys(connection, query.where(issuances.c.id.in_(part)))
    }
    return {key: now[row.issuance_id] for key, row in rows.items() if row.issuance_id in now}


def vacate_template(connection: Connection, changing: Iterable[tuple[Pair, Decision]]) -> None:
    """Release the template of earlier, unsent rows if the pair's current row is about to get it."""
    ids = [
        row.issuance_id
        for pair, decision in changing
        for row in pair.rows
        if row is not decision.row and row.badge_template_id == decision.badge_template_id and not row.is_made
    ]
    if ids:
        # Achievement, user and template are unique, and the row of the pair is about to get this template.
        vacated = "former-" + cast(issuances.c.id, String)
        connection.execute(update(issuances).where(issuances.c.id.in_(ids)).values(badge_template_id=vacated))


def _keys_among(connection: Connection, query: Select[str, str], keys: Collection[Key]) -> set[Key]:
    query = query.where(of_keys(connection, *_KEY))
    return {row for part in by_achievement(keys) for row in as_stored(connection, query, part)}


def rows_of(connection: Connection, keys: Collection[Key], *, lock: bool = False) -> dict[Key, list[Issuance]]:
    """Return the rows of each pair, the oldest first; with `lock` locked until the transaction ends."""
    query = select(*_COLUMNS).order_by(issuances.c.id)
    if lock:
        query = query.with_for_update(key_share=True)  # the foreign key of new calls takes a key-share lock on the row
    found: dict[Key, list[Issuance]] = {key: [] for key in keys}
    for key, row in map(_with_key, _of_keys(connection, query, keys)):
        found.setdefault(key, []).append(row)
    return found


def _of_keys(connection: Connection, query: Select, keys: Collection[Key]) -> Iterable[Row]:  # type: ignore[type-arg]
    query = query.where(of_keys(connection, *_KEY))
    for part in by_achievement(keys):
        yield from connection.execute(query, part).all()


def _with_key(row: Row) -> tuple[Key, Issuance]:  # type: ignore[type-arg]
    # Unpacked rather than read by name, which is slower: a sweep creates 50 000 of them.
    issuance_id, achievement_id, user_id, template, portal, state, origin, reason, award, moment, *badge = row
    badge_id, replaces, name_digest, former, outstanding = badge
    return (achievement_id, user_id), Issuance(
        issuance_id=issuance_id,
        badge_template_id=template,
        portal_id=portal,
        state=state,
        origin=origin,
        reason=reason,
        award_id=award,
        awarded_at=moment,
        credly_badge_id=badge_id,
        replaces_badge_id=replaces,
        name_digest=name_digest,
        former=former,
        outstanding=outstanding,
    )


def open_after(
    connection: Connection, after_id: int, *, size: int, portal_id: str | None = None
) -> list[tuple[Any, ...]]:
    """Return the next open issuances by id, as stored: id, user, and the columns that settings decide on.

    These are achievement, portal, template, state, reason, whether a badge is to be replaced, whether a call is
    outstanding, and whether it is a row of an earlier template.
    """
    query = (
        select(
            issuances.c.id,
            issuances.c.user_id,
            issuances.c.achievement_id,
            issuances.c.portal_id,
            issuances.c.badge_template_id,
            issuances.c.state,
            issuances.c.reason,
            issuances.c.replaces_badge_id.is_not(None),
            is_outstanding(),
            issuances.c.former,
        )
        .where(issuances.c.id > after_id, OPEN)
        .order_by(issuances.c.id)
        .limit(size)
    )
    if portal_id is not None:
        query = query.where(issuances.c.portal_id == portal_id)
    return as_stored(connection, query.with_hint(issuances, _OPEN_INDEX, "sqlite"))


def issuances_after(
    connection: Connection, after_id: int, *among: ColumnElement[bool], size: int, whole: bool = False
) -> list[tuple[Key, Issuance]]:
    """Return the next matching issuances by id, with the pair of each.

    `whole`: they are a large part of the ledger, so the table is read in its own order.
    """
    query = select(*_COLUMNS).where(issuances.c.id > after_id, *among).order_by(issuances.c.id).limit(size)
    return _with_keys(connection, query.with_hint(issuances, _NO_INDEX, "sqlite") if whole else query)


async def issuance_pages(
    database: Database, *among: ColumnElement[bool], size: int, whole: bool = False
) -> AsyncIterator[list[tuple[Key, Issuance]]]:
    """Yield pages of all matching issuances by id, each page from a transaction of its own."""
    after, full = 0, True
    while full:
        rows = await database.read(issuances_after, after, *among, size=size, whole=whole)
        yield rows
        full = len(rows) == size
        after = rows[-1][1].issuance_id if rows else after


def by_key(rows: Iterable[tuple[Key, Issuance]]) -> dict[Key, list[Issuance]]:
    found: dict[Key, list[Issuance]] = {}
    for key, row in rows:
        found.setdefault(key, []).append(row)
    return found


def rows_among(
    connection: Connection, keys: Collection[Key], *among: ColumnElement[bool]
) -> list[tuple[Key, Issuance]]:
    """Return the rows of these pairs that meet the conditions."""
    # By ids: given both conditions, SQLite would read all rows of one state for each achievement.
    ids = [row.id for row in _of_keys(connection, select(issuances.c.id), keys)]
    query = select(*_COLUMNS).where(*among)
    return [each for part in portions(ids) for each in _with_keys(connection, query.where(issuances.c.id.in_(part)))]


def _with_keys(connection: Connection, query: Select) -> list[tuple[Key, Issuance]]:  # type: ignore[type-arg]
    return [_with_key(row) for row in connection.execute(query).all()]
