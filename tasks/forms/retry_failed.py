"""Requeueing many failed badges after their cause is gone. The next run of reconcile issues them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from models.operations import retry_failed as ledger
from models.operations.retry_failed import Matching, Retryable, Selection
from rules.forms.inputs import FailedReason, InvalidInput
from rules.forms.period import ALWAYS, Period, period_of
from rules.markdown import code, plain, table
from rules.wording import FormResult, counted
from tasks.forms.run_form import known_achievement, known_portal
from tasks.runtime.run import Run

# SQLite and PostgreSQL both accept three times as many ids in a statement.
AT_MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class RetryForm:
    achievement: str
    portal: str
    reason: FailedReason
    days: tuple[date | None, date | None]
    at_most: int

    @property
    def period(self) -> Period:
        return period_of(*self.days, fields=("since", "until"))


async def preview_retry(run: Run, form: RetryForm) -> FormResult:
    """Count the badges that would be due, and change nothing.

    Raises:
        InvalidInput: the form is empty, or an id does not exist.
    """
    selection = await _selection(run, form)
    matching, found = await run.database.read(ledger.preview, selection, limit=form.at_most)
    sentence = f"Preview: nothing was done; {_sentence(matching, found, preview=True)}"
    return FormResult(sentence=sentence, outcome="preview", page=_page("Preview", sentence, form, found))


async def retry(run: Run, form: RetryForm) -> FormResult:
    """Make the matching failed badges due, and count them.

    Raises:
        InvalidInput: the form is empty, or an id does not exist. Nothing was changed.
    """
    selection = await _selection(run, form)
    matching, found = await run.database.write(ledger.retry, selection, limit=form.at_most, now=run.now())
    sentence = _sentence(matching, found, preview=False)
    return FormResult(
        sentence=sentence,
        outcome=f"{len(found)} due",
        page=_page("Made due" if found else "Nothing was made due", sentence, form, found),
        needs_attention=matching != Matching(ready=len(found)) or any(each.stop for each in found),
    )


async def _selection(run: Run, form: RetryForm) -> Selection:
    period = form.period
    if not form.achievement and not form.portal and form.reason is FailedReason.ANY and period == ALWAYS:
        raise InvalidInput(
            "achievement: give an achievement, a portal, a reason or a period (since, until); "
            "an empty form would retry every failed badge."
        )
    if form.portal:
        await known_portal(run, form.portal)
    if form.achievement:
        its_portal = (await known_achievement(run, form.achievement)).portal_id
        if form.portal not in ("", its_portal):
            raise InvalidInput(
                f"portal: achievement {code(form.achievement)} belongs to portal {code(its_portal)}. Leave the portal "
                "empty, or correct one of them."
            )
    return Selection(
        achievement_id=form.achievement or None,
        portal_id=form.portal or None,
        reason=form.reason.reason,
        start=period.start,
        end=period.end,
    )


def _sentence(matching: Matching, found: Sequence[Retryable], *, preview: bool) -> str:
    if matching == Matching():
        return "no failed badge matches" if preview else "No failed badge matches; nothing was changed"
    verb = "would be" if preview else "is" if len(found) == 1 else "are"
    due = f"{counted(len(found), 'failed badge')} {verb} due with the next run of reconcile"
    return "; ".join([due, *_waiting(found), *_more(matching.ready - len(found)), *_stay_failed(matching)])


def _waiting(found: Sequence[Retryable]) -> list[str]:
    stops: Counter[str] = Counter(each.stop for each in found)
    parts = [
        f"{stops[stop]} {'is' if stops[stop] == 1 else 'are'} {stop} (run {form})"
        for stop, form in (("paused", "resume-credly"), ("held", "release-credly"))
        if stops[stop]
    ]
    return [f"of these, {', '.join(parts)}"] if parts else []


def _more(count: int) -> list[str]:
    return [f"{count} more {'matches' if count == 1 else 'match'}: run retry-failed again"] if count > 0 else []


def _stay_failed(matching: Matching) -> list[str]:
    parts = [
        f"{count} {what}"
        for count, what in (
            (
                matching.without_integration,
                "without an integration for their achievement (run enable-credly first)",
            ),
            (matching.unconnected, "of a portal that is not connected (run connect-portal first)"),
        )
        if count
    ]
    return [f"not made due: {', '.join(parts)}"] if parts else []


def _page(title: str, sentence: str, form: RetryForm, found: Sequence[Retryable]) -> str:
    parts = [f"# {title}", f"{plain(sentence, longest=1000)}.", f"Chosen: {_description(form)}."]
    if found:
        parts.append("Where an earlier answer of Credly was unclear, Credly is asked first whether the badge exists.")
        groups = Counter((each.achievement_id, each.reason.value, each.stop) for each in found)
        rows = [
            (code(achievement), code(reason), str(count), f"**{stop}**" if stop else "")
            for (achievement, reason, stop), count in sorted(groups.items())
        ]
        parts.append(table(("achievement", "reason", "badges", ""), rows))
    return "\n\n".join(parts)


def _description(form: RetryForm) -> str:
    parts = [f"{field} {code(key)}" for field in ("achievement", "portal") if (key := getattr(form, field))]
    if form.reason is not FailedReason.ANY:
        parts.append(f"reason {code(form.reason)}")
    if form.period != ALWAYS:
        parts.append(f"failed {form.period.words}")
    return f"{', '.join(parts)}; at most {form.at_most}, the oldest first"
