"""Making many failed badges due again, after their cause is gone; the next run of reconcile issues them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from models import retry_failed as ledger
from models.retry_failed import Matching, Retryable, Selection
from rules.choices import FailedReason, Mistake
from rules.markup import code, plain, table
from rules.period import ALWAYS, Period, period_of
from rules.told import Told, counted
from tasks.people import known_place, known_portal
from tasks.runtime.run import Run

AT_MOST = 10_000  # SQLite and PostgreSQL both take three times as many ids in a statement


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What an administrator chose in the form."""

    achievement: str
    portal: str
    reason: FailedReason
    days: tuple[date | None, date | None]
    at_most: int

    @property
    def period(self) -> Period:
        """When they failed."""
        return period_of(*self.days, fields=("since", "until"))


async def preview_retry(run: Run, chosen: Chosen) -> Told:
    """Count what would be made due, and change nothing.

    Raises:
        Mistake: nothing was chosen, or something that does not exist.
    """
    selection = await _selection(run, chosen)
    matching, found = await run.database.read(ledger.preview, selection, limit=chosen.at_most)
    sentence = f"Preview: nothing was done; {_sentence(matching, found, preview=True)}"
    return Told(sentence=sentence, page=_page("Preview", sentence, chosen, found))


async def retry(run: Run, chosen: Chosen) -> Told:
    """Make the failed badges that match due, and count them.

    Raises:
        Mistake: nothing was chosen, or something that does not exist; nothing was changed.
    """
    selection = await _selection(run, chosen)
    matching, found = await run.database.write(ledger.retry, selection, limit=chosen.at_most, now=run.now())
    sentence = _sentence(matching, found, preview=False)
    return Told(
        sentence=sentence,
        page=_page("Made due" if found else "Nothing was made due", sentence, chosen, found),
        needs_a_person=matching != Matching(ready=len(found)) or any(each.stop for each in found),
    )


async def _selection(run: Run, chosen: Chosen) -> Selection:
    period = chosen.period
    if not chosen.achievement and not chosen.portal and chosen.reason is FailedReason.ANY and period == ALWAYS:
        raise Mistake(
            "achievement: give an achievement, a portal, a reason or a period (since, until); "
            "an empty form would retry every failed badge."
        )
    if chosen.achievement:
        await known_place(run, chosen.achievement)
    if chosen.portal:
        await known_portal(run, chosen.portal)
    return Selection(
        achievement_id=chosen.achievement or None,
        portal_id=chosen.portal or None,
        reason=chosen.reason.reason,
        start=period.start,
        end=period.end,
    )


def _sentence(matching: Matching, found: Sequence[Retryable], *, preview: bool) -> str:
    if matching == Matching():
        return "no failed badge matches" if preview else "No failed badge matches; nothing was changed"
    verb = "would be" if preview else "is" if len(found) == 1 else "are"
    due = f"{counted(len(found), 'failed badge')} {verb} due with the next run of reconcile"
    return "; ".join([due, *_waiting(found), *_left(matching.ready - len(found)), *_stay_failed(matching)])


def _waiting(found: Sequence[Retryable]) -> list[str]:
    stops: Counter[str] = Counter(each.stop for each in found)
    parts = [
        f"{stops[stop]} {'is' if stops[stop] == 1 else 'are'} {stop} (run {form})"
        for stop, form in (("paused", "resume-credly"), ("held", "release-credly"))
        if stops[stop]
    ]
    return [f"of these, {', '.join(parts)}"] if parts else []


def _left(count: int) -> list[str]:
    return [f"{count} more {'matches' if count == 1 else 'match'}: run retry-failed again"] if count > 0 else []


def _stay_failed(matching: Matching) -> list[str]:
    parts = [
        f"{count} {what}"
        for count, what in (
            (
                matching.without_integration,
                "without an integration for their achievement and badge template (run enable-credly first)",
            ),
            (matching.unconnected, "of a portal that is not connected (run connect-portal first)"),
        )
        if count
    ]
    return [f"not made due: {', '.join(parts)}"] if parts else []


def _page(title: str, sentence: str, chosen: Chosen, found: Sequence[Retryable]) -> str:
    parts = [f"# {title}", f"{plain(sentence, longest=1000)}.", f"Chosen: {_in_words(chosen)}."]
    if found:
        parts.append("Where an earlier answer of Credly was unclear, Credly is asked first whether the badge exists.")
        groups = Counter((each.achievement_id, each.reason.value, each.stop) for each in found)
        rows = [
            (code(achievement), code(reason), str(count), f"**{stop}**" if stop else "")
            for (achievement, reason, stop), count in sorted(groups.items())
        ]
        parts.append(table(("achievement", "reason", "badges", ""), rows))
    return "\n\n".join(parts)


def _in_words(chosen: Chosen) -> str:
    parts = [f"{field} {code(key)}" for field in ("achievement", "portal") if (key := getattr(chosen, field))]
    if chosen.reason is not FailedReason.ANY:
        parts.append(f"reason {code(chosen.reason)}")
    if chosen.period != ALWAYS:
        parts.append(f"failed {chosen.period.words}")
    return f"{', '.join(parts)}; at most {chosen.at_most}, the oldest first"
