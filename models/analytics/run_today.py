"""What a run would do today with the badges that it had."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from sqlalchemy import Connection, func, select

from models.analytics import history_views
from models.analytics.filters import RowFilter
from models.analytics.questions import runs_of, unknown_run
from models.database import Database
from models.ledger.issuance_data import facts_of
from models.ledger.tables import AttemptKind, IssuanceAttempt
from models.tables import table
from rules.badge.preview import preview
from rules.badge.request import Prepared, prepare_request
from rules.ledger.states import IssuanceState

history, attempts = history_views.history, table(IssuanceAttempt)


async def run_today(
    database: Database, chosen: RowFilter, *, columns: Sequence[str], size: int
) -> AsyncGenerator[Mapping[str, Sequence[Any]]]:
    """Yield, for what the run left in some state, what a run would do with it now, if nothing had been sent.

    Raises:
        InvalidInput: there is no run, or the ledger has nothing of it.
    """
    ids = await database.read(runs_of, chosen.run, "run")
    any_row = False
    async with aclosing(database.read_in_parts(_left_by, ids, chosen, size=size)) as parts:
        async for part in parts:
            any_row = True
            rows = await _compared(database, part, ids, chosen)
            yield {name: [row[name] for row in rows] for name in columns}
    if not any_row:
        raise unknown_run(chosen.run, "run")


def _left_by(
    connection: Connection, ids: Sequence[str], chosen: RowFilter, *, size: int
) -> Iterator[Sequence[Mapping[str, Any]]]:
    last = (
        select(func.max(history.c.history_id))
        .where(history.c.flow_run_id.in_(ids), chosen.of(history))
        .group_by(history.c.issuance_id)
    )
    query = select(history).where(history.c.history_id.in_(last)).order_by(history.c.issuance_id)
    with connection.execute(query, execution_options={"yield_per": size}) as result:
        yield from ([dict(row) for row in part] for part in result.mappings().partitions(size))


async def _compared(
    database: Database, left: Sequence[Mapping[str, Any]], ids: Sequence[str], chosen: RowFilter
) -> list[dict[str, Any]]:
    issuance_ids = [row["issuance_id"] for row in left]
    facts = {each.issuance_id: each for each in await facts_of(database, issuance_ids, now=chosen.now)}
    sent = await database.read(_fingerprints, issuance_ids, ids)
    rows = []
    for row in left:
        fact = facts[row["issuance_id"]]
        verdict, _, why = preview(fact, now=chosen.now).verdict.partition(": ")
        prepared = prepare_request(fact, now=chosen.now)
        now_sent = prepared.request.fingerprint if isinstance(prepared, Prepared) else None
        before = sent.get(row["issuance_id"])
        changed = None if before is None or now_sent is None else before != now_sent
        was_issued = row["to_state"] is IssuanceState.ISSUED
        rows.append(
            dict(row)
            | {"would": verdict, "why": why or None, "request_changed": changed}
            | {"differs": bool(changed) or was_issued != (verdict == "issue")}
        )
    return rows


def _fingerprints(connection: Connection, issuance_ids: Sequence[int], ids: Sequence[str]) -> dict[int, str]:
    query = (
        select(attempts.c.issuance_id, attempts.c.request_fingerprint)
        .where(
            attempts.c.issuance_id.in_(issuance_ids),
            attempts.c.flow_run_id.in_(ids),
            attempts.c.kind.in_((AttemptKind.ISSUE, AttemptKind.REPLACE)),
            attempts.c.request_fingerprint.is_not(None),
        )
        .order_by(attempts.c.id)
    )
    return {row.issuance_id: row.request_fingerprint for row in connection.execute(query)}
