"""The content of the report's page: sentences, charts with text alternatives, and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd

from reports.charts import Bar, bars_chart, days_chart
from reports.figures import Figures, Funnel, PeriodFigures
from reports.parts import Cell, Figure, Table, more, number, ratio, text, time
from rules.datasets import TIME_BUCKETS, bucket_of
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.spans import change, share, time_in_words

DAYS_DRAWN = 92  # more are drawn as weeks
REASONS_DRAWN = 12
_COLOR_OF = {IssuanceState.FAILED: "failed"}


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One of the numbers at the top."""

    name: str
    value: str
    change: str
    help: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """The values of the template."""

    figures: Figures
    headlines: Sequence[Headline]
    daily: Sequence[Figure]
    portals: Figure | None
    times: Figure
    reasons: Figure
    funnel: Figure
    achievements: Table
    runs: Table


def page_of(figures: Figures) -> Page:
    return Page(
        figures=figures,
        headlines=headlines(figures),
        daily=[_daily(figures.now, figures.before, *each) for each in _DAILY],
        portals=_portals(figures),
        times=_times(figures),
        reasons=_reasons(figures),
        funnel=_funnel(figures.now.funnel),
        achievements=_achievements(figures),
        runs=_runs(figures),
    )


def headlines(figures: Figures) -> list[Headline]:
    """Return the key numbers, each with its change against the period before."""
    now, before = figures.now, figures.before
    return [
        Headline(
            name="Issued",
            value=f"{now.total('issued'):,}",
            change=change(now.total("issued"), before.total("issued")),
            help="badges that Credly has, recorded in this period",
        ),
        Headline(
            name="Failed",
            value=f"{now.total('failed'):,}",
            change=change(now.total("failed"), before.total("failed")),
            help="refused in this period and not resolved since; an operator has to act",
        ),
        Headline(
            name="Waiting",
            value=f"{now.waiting:,}",
            change=change(now.waiting, before.waiting),
            help="eligible, but neither issued nor failed when the period ended",
        ),
        Headline(
            name="Award to badge",
            value=time_in_words(now.times.median),
            change=_before(time_in_words(before.times.median)),
            help="half of the badges took no longer",
        ),
        Headline(
            name="Claimed",
            value=share(now.funnel.claimed, now.funnel.claim_known),
            change=_before(share(before.funnel.claimed, before.funnel.claim_known)),
            help=f"of {_badges(now.funnel.claim_known)} that the audit has read",
        ),
    ]


def _badges(count: int) -> str:
    return "1 badge" if count == 1 else f"{count:,} badges"


def _before(value: str) -> str:
    return "none before" if value == "–" else f"{value} before"


_DAILY: tuple[tuple[str, str, str], ...] = (
    ("issued", "Issued", "Badges recorded as issued on that day."),
    ("failed", "Failed", "Issuances that failed on that day and have not been resolved since."),
    ("waiting", "Waiting", "Issuances that waited when that day ended."),
)


def _daily(part: PeriodFigures, before: PeriodFigures, column: str, title: str, explanation: str) -> Figure:
    shown, by_week = _drawn(part.daily, column)
    earlier = [int(value) for value in _drawn(before.daily, column)[0][column]]
    unit, at = ("week", "in the week of") if by_week else ("day", "on")
    values = [int(value) for value in shown[column]]
    days = [f"{day:%Y-%m-%d}" for day in shown["day"]]
    # As many days, but they may begin within a week that is drawn as one.
    earlier = [0] * max(len(values) - len(earlier), 0) + earlier[-len(values) :]
    top = max(values, default=0)
    most = f"most {at} {days[values.index(top)]}: {top:,}" if top else "none at all"
    sums = f"{values[-1]:,} at the end" if column == "waiting" else f"{sum(values):,} in all"
    each = "for each week, by its Monday" if by_week else "for each day"
    return Figure(
        title=title,
        words=f"{title} {each} {part.days.period.words}: {sums}, {most}.",
        explanation=f"{explanation.replace('that day', 'a day of that week') if by_week else explanation} "
        f"The line across is the {unit} in the same place of the period before.",
        picture=days_chart(days, values, before=earlier, color=column),
        table=Table(
            head=[unit, title.lower(), "before"],
            rows=[[text(day), number(n), number(was)] for day, n, was in zip(days, values, earlier, strict=True)],
        ),
    )


def _portals(figures: Figures) -> Figure | None:
    portals = figures.portals
    if not portals:
        return None
    names = [str(one["portal_name"] or one["portal_id"]) for one in portals]
    bars = [
        Bar(
            # Two portals may have the same name, and a chart would add their bars up.
            name=name if names.count(name) == 1 else f"{name} ({one['portal_id']})",
            value=int(one["issued"]),
            label=f"{one['issued']:,} issued · {one['issued_before']:,} before",
            color="issued",
        )
        for name, one in zip(names, portals[:REASONS_DRAWN], strict=False)
    ]
    counted = ("issued", "failed")
    rows = [
        [
            text(name),
            *(
                cell
                for key in counted
                for cell in (
                    number(one[key]),
                    number(one[f"{key}_before"]),
                    Cell(text=change(one[key], one[f"{key}_before"]), order=int(one[key] - one[f"{key}_before"])),
                )
            ),
            number(one["waiting"]),
        ]
        for name, one in zip(names, portals, strict=True)
    ]
    head = ["portal", *(word for key in counted for word in (key, f"{key} before", f"{key}: change")), "waiting now"]
    return Figure(
        title="Portal beside portal",
        words=f"{names[0]} had most badges: {portals[0]['issued']:,} issued, {portals[0]['issued_before']:,} in the "
        "days before.",
        explanation="Badges issued and failed in these days beside the days before, and what waits now.",
        picture=bars_chart(bars),
        table=Table(head=head, rows=rows, more=more(portals, "portals")),
    )


def _drawn(daily: pd.DataFrame, column: str) -> tuple[pd.DataFrame, bool]:
    # More days than the page has pixels for are drawn as weeks. Waiting is a level, so a week has its last value.
    if len(daily) <= DAYS_DRAWN:
        return daily[["day", column]], False
    monday = daily["day"].map(lambda day: day - timedelta(days=day.weekday()))
    grouped: Any = daily.groupby(monday.rename("day"))[column]
    return (grouped.last() if column == "waiting" else grouped.sum()).reset_index(), True


def _times(figures: Figures) -> Figure:
    times = figures.now.times
    if not times.badges or times.median is None or times.p95 is None:
        return Figure(title="From award to badge", words="No badge with an award was issued in this period.")
    # Both may be in the same bar.
    marks = {bucket_of(times.p95): ["95 %"]}
    marks.setdefault(bucket_of(times.median), []).insert(0, "median")
    labels = [" · ".join([f"{count:,}", *marks.get(place, [])]) for place, count in enumerate(figures.buckets)]
    names = [words for _bound, words in TIME_BUCKETS]
    bars = [
        Bar(name=name, value=count, label=label, color="issued")
        for name, count, label in zip(names, figures.buckets, labels, strict=True)
    ]
    return Figure(
        title="From award to badge",
        words=f"Time from award to badge of {_badges(times.badges)}: the median is "
        f"{time_in_words(times.median)}, 95 of 100 took no longer than {time_in_words(times.p95)}, the slowest took "
        f"{time_in_words(times.slowest)}.",
        explanation="Half of the badges had come by the end of the bar marked median, 95 of 100 by the end of the one "
        "marked 95 %. Counted from the moment of the award to the moment at which Laurel recorded that Credly has "
        "the badge. Awards made long before Credly was enabled, or that arrived late, count with all that time.",
        picture=bars_chart(bars),
        table=Table(
            head=["time", "badges", "share"],
            rows=[
                [Cell(text=name, order=place), number(count), Cell(text=share(count, times.badges), order=count)]
                for place, (name, count) in enumerate(zip(names, figures.buckets, strict=True))
            ],
        ),
    )


def _reasons(figures: Figures) -> Figure:
    total = sum(each.count for each in figures.open)
    if not total:
        return Figure(title="Not issued now, and why", words="Every eligible badge is issued.")
    first = figures.open[0]
    bars = [
        Bar(
            name=_reason_name(each.state, each.reason),
            value=each.count,
            label=f"{each.count:,} {_group_of(each.state)}",
            color=_COLOR_OF.get(each.state, "waiting"),
        )
        for each in figures.open[:REASONS_DRAWN]
    ]
    rows = [
        [
            Cell(text=each.reason or "none yet", is_code=each.reason is not None),
            text(each.state.value),
            number(each.count),
            number(each.new),
            text(Reason(each.reason).sentence if each.reason else each.state.sentence),
            text(Reason(each.reason).advice if each.reason else "Nothing: the next run issues it."),
        ]
        for each in figures.open
    ]
    return Figure(
        title="Not issued now, and why",
        words=f"{_badges(total)} not issued as of this report. Most for this reason: "
        f"{_reason_name(first.state, first.reason)}, {first.count:,}.",
        explanation="All open issuances when this report was made, whichever day they are from. Failed ones need an "
        "operator; waiting ones are issued automatically once their reason is gone.",
        picture=bars_chart(bars),
        table=Table(
            head=["reason", "state", "badges", "of these since the period began", "what it means", "what to do"],
            rows=rows,
        ),
    )


def _reason_name(state: IssuanceState, reason: str | None) -> str:
    return reason.replace("_", " ") if reason else f"{state.value}, not tried yet"


def _group_of(state: IssuanceState) -> str:
    return "failed" if state is IssuanceState.FAILED else "waiting"


def _funnel(funnel: Funnel) -> Figure:
    if not funnel.entered:
        return Figure(title="From award to claimed badge", words="No badge became eligible in this period.")
    # Without an audit "0 claimed" would be wrong: nobody has looked.
    known = f"{funnel.claimed:,} of {funnel.claim_known:,} that the audit has read"
    steps = [
        ("awarded", funnel.entered, f"{funnel.entered:,}", "waiting"),
        ("issued", funnel.issued, f"{funnel.issued:,} · {share(funnel.issued, funnel.entered)} of awarded", "issued"),
    ]
    if funnel.claim_known:
        claimed = f"{funnel.claimed:,} · {share(funnel.claimed, funnel.claim_known)} of those read by the audit"
        steps.append(("claimed", funnel.claimed, claimed, "issued"))
    else:
        known = "not known yet, because no audit has run since"
    return Figure(
        title="From award to claimed badge",
        words=f"{_badges(funnel.entered)} became eligible in this period. Issued now: {funnel.issued:,}; waiting: "
        f"{funnel.waiting:,}; failed: {funnel.failed:,}; cancelled: {funnel.cancelled:,}. Claimed: {known}.",
        explanation="Eligible means: awarded and covered by an integration, or requested by an operator. These badges "
        "are followed up to now, so the issued ones are not the same as those issued in the period. Claimed means that "
        "the earner accepted the badge at Credly, as of the nightly audit.",
        picture=bars_chart([Bar(name=n, value=v, label=label, color=c) for n, v, label, c in steps]),
        table=Table(
            head=["step", "badges"],
            rows=[
                [text(name), number(count)]
                for name, count in (
                    ("awarded", funnel.entered),
                    ("issued", funnel.issued),
                    ("read by the audit", funnel.claim_known),
                    ("claimed", funnel.claimed),
                    ("waiting", funnel.waiting),
                    ("failed", funnel.failed),
                    ("cancelled", funnel.cancelled),
                )
            ],
        ),
    )


def _achievements(figures: Figures) -> Table:
    def row(one: Any) -> list[Cell]:
        return [
            text(one["portal_name"] or one["portal_id"]),
            text(one["achievement_name"] or one["achievement_id"]),
            Cell(text=one["badge_template_id"], is_code=True),
            *(number(one[name]) for name in ("entered", "issued", "failed", "waiting")),
            time(one["median"]),
            time(one["p95"]),
            Cell(text=share(one["claimed"], one["claim_known"]), order=ratio(one["claimed"], one["claim_known"])),
        ]

    head = [
        "portal",
        "achievement",
        "template",
        "eligible",
        "issued",
        "failed",
        "waiting now",
        "median",
        "95 of 100",
        "claimed",
    ]
    rows = [row(one) for one in figures.achievements]
    return Table(head=head, rows=rows, more=more(figures.achievements, "achievements"))


def _runs(figures: Figures) -> Table:
    def row(one: Any) -> list[Cell]:
        counts = ("issuances", "calls", "issued", "found", "refused", "throttled")
        lost = one["unclear"] + one["not_connected"] + one["not_sent"]
        moment = f"{one['first_call_at']:%Y-%m-%d %H:%M}"
        return [
            text(moment),
            text(one["portal_name"] or one["portal_id"]),
            *(number(one[name]) for name in counts),
            number(lost),
            Cell(text=f"{one['slowest_ms']:,} ms", order=one["slowest_ms"]),
            Cell(text=one["flow_run_id"] or "outside a run", is_code=bool(one["flow_run_id"])),
        ]

    head = ["first call (UTC)", "portal", "badges", "calls", "issued", "found", "refused", "throttled", "no answer"]
    head += ["slowest call", "flow run"]
    return Table(head=head, rows=[row(one) for one in figures.runs], more=more(figures.runs, "runs"))
