"""The page of a run: its results, what was not issued and why, what is pending and until when. Ids only."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import groupby

from rules.forms.links import form_link
from rules.ledger.reasons import Reason, UnusableAward
from rules.ledger.states import IssuanceState
from rules.markdown import code, plain, table
from rules.monitoring.run_summary import NAMED, IssuanceRef, RunSummary
from rules.wording import ANSWERS, CALLS, counted, moment

_SHOWN = (
    IssuanceState.ISSUED,
    IssuanceState.FAILED,
    IssuanceState.BLOCKED,
    IssuanceState.PENDING,
    IssuanceState.CANCELLED,
)
_HEADS = ("portal", "achievement", "issued", "failed", "blocked", "to be tried again", "cancelled")
_NOTHING_ELSE = ("0",) * 4
_LONGEST_KEY = 80
_STOPPED_NAMED = 3
_LINES = 100
HELD_NAMES_ADVICE = "Look at reconcile with preview; if the names are right, run it with full and a higher hold_above"
_RELEASED_BY = {"held": "release-credly", "paused": "resume-credly"}


@dataclass(frozen=True, kw_only=True)
class PendingCount:
    """The pending issuances of one portal for one reason; `stop` is `paused` or `held`, or empty.

    `achievement_id` is set where `stop` is: that achievement is paused or held.
    """

    portal_id: str
    achievement_id: str = ""
    reason: Reason | None
    stop: str
    count: int
    next_at: datetime


def run_page(
    total: RunSummary,
    *,
    planned: str,
    unusable: Collection[UnusableAward] = (),
    organizations: Mapping[str, RunSummary],
    pending: Sequence[PendingCount],
    warning: str = "",
    issue_form: str = "",
    notes: Sequence[str] = (),
    now: datetime,
) -> str:
    """Return the page in Markdown. `planned` and `notes` are sentences, `issue_form` an address; `now` is UTC."""
    parts = ["# What this run did", f"**{plain(total.sentence, longest=500)}**"]
    if warning:
        parts.append(
            f"**{plain(warning, longest=500)}**: afterwards nothing is issued. "
            "How: docs/how-to/portals.md#replace-a-token"
        )
    parts.append(planned)
    parts += _first([f"- {plain(note, longest=500)}" for note in notes])
    if total.results:
        rows = sorted(_achievements(total), key=lambda row: row[3:] == _NOTHING_ELSE)
        parts += ["## By portal and achievement", table(_HEADS, rows[:_LINES]), *_more(rows)]
    if total.named:
        parts += ["## Not issued in this run, and what to do", *_not_issued(total, issue_form)]
    if unusable:
        parts += ["## Awards that cannot be entered", *unusable_page(unusable)]
    if total.open:
        parts += ["## What is open now, from this run and earlier ones", "\n".join(_reasons(total))]
    if pending:
        lines = _first([_waits(each, now) for each in pending])
        parts += ["## What waits, and when it is tried next", "\n".join(lines)]
    if total.slowest:
        parts += ["## Slowest calls", table(_CALLS, _slowest(total))]
    if organizations:
        trouble_first = sorted(organizations.items(), key=lambda each: not (each[1].failed or each[1].open))
        rows = [(code(each), plain(done.sentence, longest=500)) for each, done in trouble_first]
        parts += ["## By organization", table(("organization", "what happened"), rows[:_LINES]), *_more(rows)]
    return "\n\n".join(parts)


def _first(lines: Sequence[str]) -> list[str]:
    return [*lines[:_LINES], *_more(lines)]


def _more(lines: Sequence[object]) -> list[str]:
    return [f"And {len(lines) - _LINES} more."] if len(lines) > _LINES else []


def run_table(total: RunSummary) -> list[dict[str, str | int]]:
    return [
        dict(zip(_HEADS, (portal, achievement, *(counts.get(state, 0) for state in _SHOWN)), strict=True))
        for portal, achievement, counts in total.by_achievement
    ]


def series_key(name: str, subject: str) -> str:
    """Return an artifact key for a series of one subject: lower case letters, digits and dashes, unique for each."""
    slug = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")[:_LONGEST_KEY]
    # Two subjects may have the same slug.
    if slug != subject or not slug:
        slug = f"{slug}-{sha256(subject.encode()).hexdigest()[:8]}".strip("-")
    return f"{name}-{slug}"


def by_portal(total: RunSummary) -> dict[str, Counter[IssuanceState]]:
    portals: dict[str, Counter[IssuanceState]] = {}
    for portal, _, counts in total.by_achievement:
        portals.setdefault(portal, Counter()).update(counts)
    return portals


def under_heads(counts: Mapping[IssuanceState, int]) -> dict[str, int]:
    return {head: counts.get(state, 0) for state, head in zip(_SHOWN, _HEADS[2:], strict=True)}


def in_portal(portal: str, counts: Mapping[IssuanceState, int]) -> str:
    """Return the results of a run in a portal as text: `northwind: 4 issued · 1 failed`."""
    return f"{portal}: {' · '.join(f'{count} {head}' for head, count in under_heads(counts).items() if count)}"


def _achievements(total: RunSummary) -> list[tuple[str, ...]]:
    return [
        (code(portal), code(achievement), *(str(counts.get(state, 0)) for state in _SHOWN))
        for portal, achievement, counts in total.by_achievement
    ]


def _not_issued(total: RunSummary, issue_form: str) -> list[str]:
    parts, done = [], total.done
    for (state, reason), names in sorted(total.named.items()):
        count = done[state, reason]
        more = f" and {count - NAMED} more" if count > NAMED else ""
        form = issue_form if state in (IssuanceState.FAILED, IssuanceState.BLOCKED) else ""
        shown = ", ".join(_name(each, form) for each in names)
        parts += [
            f"### {counted(count, 'badge')} {state}: {plain(reason.sentence, longest=400)}",
            f"**What to do:** {plain(reason.advice, longest=400)}",
            f"{shown}{more}",
        ]
    return [*parts, "Each is listed by issuance, achievement and user; the deployment *explain* shows its history."]


def _name(each: IssuanceRef, issue_form: str) -> str:
    link = form_link(issue_form, **each.form_fields)
    again = f", [issue by hand]({link})" if link else ""
    return f"{each.issuance_id} ({code(each.achievement_id)} to {code(each.user_id)}{again})"


def _reasons(total: RunSummary) -> Iterator[str]:
    # A list, as Prefect's pages cut off wide tables.
    for (state, reason), count in total.open.most_common():
        name = f" {code(reason)}" if reason else ""
        why = plain(reason.sentence if reason else state.sentence, longest=400)
        advice = f" **What to do:** {plain(reason.advice, longest=400)}" if reason else ""
        yield f"- **{count} {state}**{name}: {why}{advice}"


def stopped_words(pending: Sequence[PendingCount]) -> str:
    """Return what is held or paused, on which achievement and what to do, as text: `24 held on first-aid (run …)`."""
    counts: Counter[tuple[str, str]] = Counter()
    for each in pending:
        if each.stop:
            counts[each.stop, each.achievement_id] += each.count
    named = [
        f"{count} {stop} on {achievement} (run {_RELEASED_BY[stop]})"
        for (stop, achievement), count in counts.most_common(_STOPPED_NAMED)
    ]
    more = sum(counts.values()) - sum(count for _, count in counts.most_common(_STOPPED_NAMED))
    return ", ".join([*named, *([f"{more} on other achievements"] if more else [])])


def held_names_words(badges: int) -> str:
    """Return how many badges are not replaced since they are too many, as text."""
    # "Or more", because the search ends once there are too many.
    words = f"{badges} or more badges would be replaced for corrected names within 24 hours, so none is"
    return words if badges else ""


def unusable_words(unusable: Collection[UnusableAward]) -> str:
    """Return how many awards cannot be entered, as text."""
    return f"{counted(len(unusable), 'award')} cannot be entered" if unusable else ""


def unusable_page(unusable: Collection[UnusableAward]) -> list[str]:
    """Return for each fault what it means, what to do, and the awards by their ids."""
    parts = []
    for fault, each in groupby(sorted(unusable), key=lambda award: award.fault):
        named = list(each)
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        parts += [
            f"**{counted(len(named), 'award')}** {code(fault)}: {plain(fault.sentence, longest=400)} "
            f"**What to do:** {plain(fault.advice, longest=400)}",
            f"{', '.join(map(_unusable_name, named[:NAMED]))}{more}",
        ]
    return parts


def _unusable_name(each: UnusableAward) -> str:
    # In the order of the ledger's names: without a user's id, which may be an address where it is no key.
    return f"{code(each.award_id)} of {code(each.achievement_id)}" if each.award_id else code(each.achievement_id)


def _waits(each: PendingCount, now: datetime) -> str:
    if each.stop:
        return (
            f"- {code(each.portal_id)}: **{each.count} {each.stop}** on achievement {code(each.achievement_id)}, tried "
            f"after you run *{_RELEASED_BY[each.stop]}* for it."
        )
    why = each.reason.sentence if each.reason else "It is due."
    when = "by the next run" if each.next_at <= now else f"by the first run after {moment(each.next_at)}"
    return f"- {code(each.portal_id)}: **{each.count}**, tried {plain(when)}. {plain(why, longest=400)}"


def _slowest(total: RunSummary) -> list[tuple[str, ...]]:
    return [
        (
            f"{each.duration.total_seconds():.1f} s",
            str(each.issuance_id),
            CALLS.get(each.kind, each.kind),
            ANSWERS.get(each.outcome, each.outcome),
        )
        for each in total.slowest
    ]


_CALLS = ("took", "issuance", "call", "answer")
