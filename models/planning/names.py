"""Issued badges that show another name than the platform has now: found in a round, replaced unless they are many.

Names are compared by a digest (rules/badge/names.py). A badge that was issued or adopted without one gets that of the
name it is first seen with, so that later corrections are noticed.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, func, literal, select, update

from models.by_key import portions
from models.database import Database
from models.ledger.history import IssuanceTransition
from models.ledger.issuance_data import facts_of
from models.ledger.tables import BadgeIssuance
from models.operations.erasure import NOT_ERASED
from models.planning.deletions import VALID_AT_CREDLY
from models.planning.pairs import rows_of
from models.planning.planner import Planning, StepResult, Sweep, as_far_as_possible, begin, continue_round, reconcile
from models.planning.progress import Cursor, Round
from models.planning.writing import PlanCounts, PlatformRows, pairs_of
from models.platform.awards import Key, awards_of, is_after
from models.platform.people import names_of
from models.setup.tables import CredlyIntegration
from models.tables import table
from rules.badge.names import is_corrected, name_digest
from rules.badge.request import Prepared, prepare_request
from rules.forms.inputs import WhenDataChanges
from rules.ledger.eligibility import Ground, Issuance, decide
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState

issuances = table(BadgeIssuance)
integrations = table(CredlyIntegration)
history = table(IssuanceTransition)

_COUNTED_FOR = timedelta(days=1)
_PER_TRANSACTION = 1_000
_FOLLOWED = integrations.c.when_data_changes == WhenDataChanges.REPLACE
_KEY = (issuances.c.achievement_id, issuances.c.user_id)


@dataclass(kw_only=True)
class _Found:
    """The badges with a corrected name that a run has found, with the digests of the present names."""

    rows: dict[Key, Sequence[Issuance]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class _Page:
    issued: Sequence[Any]
    names: dict[int, str] = field(repr=False)
    following: Key | None

    @property
    def unknown(self) -> list[tuple[int, str]]:
        """The badges whose name is not known, with the digest of the present one."""
        issued = [row.id for row in self.issued if row.name_digest is None]
        return [(issuance_id, self.names[issuance_id]) for issuance_id in issued if issuance_id in self.names]


async def sweep_names(database: Database, options: Sweep, *, now: datetime, portal_id: str | None = None) -> PlanCounts:
    """Replace badges whose earner's name was corrected, where an integration is set so.

    None is replaced if those of this run and of the last 24 hours are more than `options.hold_above`. Runs that were
    started with a higher one do not count.
    """
    if not await database.read(_is_used):
        return PlanCounts()
    page = min(database.rows_per_page, max(options.at_least, 1))  # a run looks at one page at least
    planning, found = replace(await begin(database, now=now, portal_id=portal_id), page=page), _Found()
    step = partial(_next_names, found=found, above=options.hold_above)
    counts = await as_far_as_possible(
        planning,
        partial(continue_round, which=Round.NAMES, step=step, options=replace(options, at_least=page)),
    )
    if held := await above_cap(database, len(found.rows), hold_above=options.hold_above, now=now):
        return counts + PlanCounts(held_names=held)
    return counts + await reconcile(planning, found.rows, found.names)


async def above_cap(database: Database, badges: int, *, hold_above: int, now: datetime) -> int:
    """Return how many badges would be replaced within 24 hours with these, if that is too many; else 0."""
    if not badges:
        return 0
    within_a_day = badges + await database.read(_replaced_since, now - _COUNTED_FOR, at_most=hold_above)
    return within_a_day if within_a_day > hold_above else 0


async def corrected_names(
    database: Database, *, now: datetime, portal_id: str | None = None, within: str | None = None
) -> AsyncIterator[int]:
    """Yield the issuances whose badges would be replaced for a corrected name, for a preview. Writes nothing."""
    if not await database.read(_is_used):
        return
    planning = await begin(database, now=now, portal_id=portal_id)
    after: Key | None = (within or "", "")
    while after is not None:
        page = await _page_after(planning, after, within=within)
        for of_key in (await _corrected(planning, page)).values():
            for row in of_key:
                if row.issuance_id in page.names:
                    yield row.issuance_id
        after = page.following


async def _next_names(planning: Planning, cursor: Cursor, *, found: _Found, above: int) -> StepResult:
    page = await _page_after(planning, (cursor.after_achievement, cursor.after_user))
    for part in portions(page.unknown, _PER_TRANSACTION):
        await planning.database.write(_keep_names, part)
    # With more than that none is replaced, so the rest need not be read.
    if len(found.rows) <= above:
        found.rows |= await _corrected(planning, page)
        found.names |= page.names
    following = page.following and dict(zip(("after_achievement", "after_user"), page.following, strict=True))
    return {}, len(page.issued), following, frozenset()


async def _page_after(planning: Planning, after: Key, *, within: str | None = None) -> _Page:
    issued = await planning.database.read(
        _issued_after, after, size=planning.page, portal_id=planning.portal_id, within=within
    )
    users = await planning.database.platform.read(names_of, {row.user_id for row in issued})
    digests = {
        row.id: name_digest(row.id, users[row.user_id].first_name, users[row.user_id].last_name)
        for row in issued
        if row.user_id in users
    }
    return _Page(
        issued=issued,
        names={issuance_id: digest for issuance_id, digest in digests.items() if digest is not None},
        following=(issued[-1].achievement_id, issued[-1].user_id) if len(issued) == planning.page else None,
    )


async def _corrected(planning: Planning, page: _Page) -> dict[Key, Sequence[Issuance]]:
    """Return the rows of those pairs whose badge would be replaced, and whose request could be sent now."""
    database, now = planning.database, planning.now
    keys = [
        (row.achievement_id, row.user_id)
        for row in page.issued
        if is_corrected(row.name_digest, page.names.get(row.id))
    ]
    if not keys:
        return {}
    awards = await database.platform.read(awards_of, keys, now=now, budget=planning.budget)
    rows = {key: of_key for key, of_key in (await database.read(rows_of, keys)).items() if key in awards}
    platform_rows = PlatformRows(awards=awards, portals=planning.portals, names=page.names)
    deleted = await planning.deletions.deleted(rows, awards)
    pairs = pairs_of(rows, platform_rows, planning.setup, deleted=deleted)
    changing = {
        each.row.issuance_id: key
        for key, pair in pairs.items()
        for each in decide(pair, now=now)
        if each.row is not None and each.ground is Ground.NAME_CORRECTED
    }
    facts = await facts_of(database, list(changing), now=now)
    sendable = [each.issuance_id for each in facts if isinstance(prepare_request(each, now=now), Prepared)]
    return {changing[issuance_id]: rows[changing[issuance_id]] for issuance_id in sendable}


def _is_used(connection: Connection) -> bool:
    return connection.execute(select(integrations.c.id).where(_FOLLOWED).limit(1)).first() is not None


def _issued_after(
    connection: Connection, after: Key, *, size: int, portal_id: str | None, within: str | None
) -> Sequence[Any]:
    query = (
        select(issuances.c.id, *_KEY, issuances.c.name_digest)
        .join(integrations, integrations.c.achievement_id == issuances.c.achievement_id)
        .where(
            _FOLLOWED,
            issuances.c.badge_template_id == integrations.c.badge_template_id,
            issuances.c.state == IssuanceState.ISSUED,
            ~issuances.c.former,
            VALID_AT_CREDLY,
            NOT_ERASED,
            is_after(_KEY, after),
        )
        .order_by(*_KEY)
        .limit(size)
    )
    if portal_id is not None:
        query = query.where(issuances.c.portal_id == portal_id)
    if within is not None:
        query = query.where(issuances.c.achievement_id == within)
    return connection.execute(query).all()


def _keep_names(connection: Connection, names: Sequence[tuple[int, str]]) -> None:
    still_unknown = issuances.c.name_digest.is_(None), issuances.c.state == IssuanceState.ISSUED
    kept = update(issuances).where(issuances.c.id == bindparam("row_id"), *still_unknown)
    given = [{"row_id": issuance_id, "digest": digest} for issuance_id, digest in names]
    connection.execute(kept.values(name_digest=bindparam("digest")), given)


def _replaced_since(connection: Connection, since: datetime, *, at_most: int) -> int:
    """Count the badges that were to be replaced for a corrected name since, by runs with at most so many of them."""
    # A literal, for the partial index.
    corrected = literal(Reason.NAME_CORRECTED, type_=history.c.reason.type, literal_execute=True)
    by_run = (
        select(func.count().label("badges"))
        .where(history.c.reason == corrected, history.c.at > since)
        .group_by(history.c.flow_run_id)
        .having(func.count() <= at_most)
        .subquery()
    )
    return int(connection.execute(select(func.coalesce(func.sum(by_run.c.badges), 0))).scalar_one())
