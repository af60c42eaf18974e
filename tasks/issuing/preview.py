"""Preview of a run. Nothing is written to the ledger, and Credly is not called."""

from collections import Counter

from prefect.artifacts import acreate_table_artifact

from models.ledger import claiming
from models.ledger.claiming import Scope
from models.ledger.issuance_data import Subject, facts_of, facts_of_subjects
from models.planning.names import above_cap, corrected_names
from models.planning.planner import begin
from models.planning.preview import new_pairs
from models.platform.awards import Key
from rules.badge.preview import Preview, preview
from rules.ledger.eligibility import Action, Decision, Pair, decide
from rules.ledger.reasons import Reason
from rules.ledger.sweep import HOLD_NAMES_ABOVE
from tasks.runtime.run import Run, current_run, laurel_task

_MAX_PREVIEWED = 10_000
_MAX_SHOWN = 500


@laurel_task(name="preview")
async def preview_run(portal: str = "", limit: int = 0, hold_above: int = HOLD_NAMES_ABOVE) -> str:
    """Write a table of what a run would send, and what not and why. Returns a sentence with the counts."""
    run = current_run.get()
    at_most = min(limit or _MAX_PREVIEWED, _MAX_PREVIEWED)
    previews = await _previews(run, portal or None, limit=at_most)
    previews += await _corrected(run, portal or None, limit=at_most - len(previews), hold_above=hold_above)
    verdicts = Counter(each.verdict.partition(":")[0] for each in previews)
    counts = " · ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or "nothing to do"
    sentence = f"Preview, nothing was done: {counts}"
    await acreate_table_artifact(
        key="reconcile-preview", table=[_row(each) for each in previews[:_MAX_SHOWN]], description=sentence
    )
    return sentence


async def _previews(run: Run, portal_id: str | None, *, limit: int) -> list[Preview]:
    # First what the ledger has due, held or paused, then what planning would enter.
    moment, ledger = run.now(), run.database
    portals = None if portal_id is None else [portal_id]
    organizations = await ledger.read(claiming.due_organizations, now=moment, portal_ids=portals)
    reached = [portal for organization in organizations for portal in organization.all_portals]
    due = await ledger.read(claiming.due_issuances, Scope(reached), now=moment, limit=limit)
    held = await ledger.read(claiming.paused_or_held, portal_id=portal_id, now=moment, limit=limit - len(due))
    facts = await facts_of(ledger, [*(issuance_id for issuance_id, _ in due), *held], now=moment)
    subjects = await _new_subjects(run, portal_id, limit=limit - len(facts))
    facts += await facts_of_subjects(ledger, subjects, now=moment)
    return [preview(each, now=moment) for each in facts]


async def _corrected(run: Run, portal_id: str | None, *, limit: int, hold_above: int) -> list[Preview]:
    """Return the badges whose earner's name was corrected since, where an integration replaces them."""
    moment, found = run.now(), list[int]()
    async for issuance_id in corrected_names(run.database, now=moment, portal_id=portal_id):
        if len(found) >= limit:
            break
        found.append(issuance_id)
    held = await above_cap(run.database, len(found), hold_above=hold_above, now=moment)
    many = f"hold: {held} badges would be replaced for corrected names within 24 hours, more than hold_above."
    verdict = many if held else f"replace: {Reason.NAME_CORRECTED.sentence}"
    facts = await facts_of(run.database, found, now=moment)
    return [preview(each, now=moment, verdict=verdict) for each in facts]


async def _new_subjects(run: Run, portal_id: str | None, *, limit: int) -> list[Subject]:
    planning = await begin(run.database, now=run.now(), portal_id=portal_id)
    found: list[Subject] = []
    async for key, pair in new_pairs(planning):
        if len(found) >= limit:
            break
        entered = [each for each in decide(pair, now=planning.now) if each.action is Action.ENQUEUE]
        found += [_subject(key, pair, each) for each in entered]
    return found


def _subject(key: Key, pair: Pair, decision: Decision) -> Subject:
    if pair.coverage is None or pair.portal_id is None or decision.award is None:
        raise AssertionError(f"planning would enter {key} without its award, portal or integration")
    return Subject(
        achievement_id=key[0],
        user_id=key[1],
        portal_id=pair.portal_id,
        badge_template_id=pair.coverage.badge_template_id,
        award_id=decision.award.award_id,
        awarded_at=decision.award.awarded_at,
    )


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
