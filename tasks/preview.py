"""What a run would do, without doing it: nothing is written to the ledger, and Credly is not called."""

from collections import Counter
from datetime import datetime

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from models import claiming
from models.facts_joined import facts_of, facts_of_owed
from models.owed import newly_owed
from rules.preview import Preview, preview
from tasks.resources import database, now

_LOOKED_AT = 10_000
_SHOWN = 500


@task(name="preview", cache_policy=NO_CACHE, persist_result=False)
async def preview_run(portal: str = "", limit: int = 0) -> str:
    """Write a table of what a run would send, and what it would not and why; return the counts in a sentence."""
    would = await _would_do(portal or None, limit=min(limit or _LOOKED_AT, _LOOKED_AT))
    verdicts = Counter(each.verdict.partition(":")[0] for each in would)
    counts = " · ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or "nothing to do"
    sentence = f"Preview, nothing was done: {counts}"
    await acreate_table_artifact(
        key="reconcile-preview", table=[_row(each) for each in would[:_SHOWN]], description=sentence
    )
    return sentence


async def _would_do(portal_id: str | None, *, limit: int) -> list[Preview]:
    """Look first at what the ledger has due or a person keeps back, then at what planning would enter."""
    moment: datetime = now()
    async with database().reading() as connection:
        organizations = await connection.run_sync(
            claiming.due_organizations, now=moment, portal_ids=None if portal_id is None else [portal_id]
        )
        portals = [portal for organization in organizations for portal in organization.portal_ids]
        due = await connection.run_sync(claiming.due_issuances, portal_ids=portals, now=moment, limit=limit)
        left = limit - len(due)
        back = await connection.run_sync(claiming.kept_back, portal_id=portal_id, now=moment, limit=left)
        facts = await connection.run_sync(facts_of, [*(issuance_id for issuance_id, _ in due), *back], now=moment)
        owed = newly_owed(now=moment, portal_id=portal_id)
        facts += await facts_of_owed(connection, owed, now=moment, limit=limit - len(facts))
    return [preview(each, now=moment) for each in facts]


def _row(each: Preview) -> dict[str, str]:
    return {
        "achievement": each.achievement_id,
        "user": each.user_id,
        "award": each.award_id or "",
        "would": each.verdict,
        "recipient (masked)": each.recipient,
        "issued at (UTC)": each.issued_at.isoformat(sep=" ", timespec="seconds") if each.issued_at else "",
        "evidence": each.evidence,
        "evidence left out": each.left_out,
    }
