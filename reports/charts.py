"""Charts as SVG, for light and dark pages, wide and narrow ones. The colors are safe for color blindness."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

WIDE, NARROW = 1100, 340
_BAR = 26
_FEW = 6
_LETTER = 7.2  # about as wide as a letter is in the widest usual font
_FONT = "Helvetica, Arial, sans-serif"
_PADDING = {"left": 2, "right": 16, "top": 4, "bottom": 2}
_NUMBERS = count(1)


@dataclass(frozen=True)
class Theme:
    """Colors of a page. Those of bars are from the Okabe-Ito palette, and gray."""

    name: str
    ink: str
    faint: str
    issued: str
    failed: str
    waiting: str


LIGHT = Theme("light", ink="#1b1f24", faint="#d5dae0", issued="#0072B2", failed="#D55E00", waiting="#6e7681")
DARK = Theme("dark", ink="#e6e9ed", faint="#3a414b", issued="#56B4E9", failed="#E69F00", waiting="#a6adb7")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One horizontal bar: name, length, the label at its end, and color."""

    name: str
    value: int
    label: str
    color: str


@dataclass(frozen=True)
class Picture:
    """A chart, drawn when it is shown."""

    chart: Callable[[Theme, int], Any]

    @property
    def versions(self) -> tuple[Markup, ...]:
        """The chart as SVG for light and dark pages, wide and narrow ones."""
        return tuple(
            _svg(self.chart(theme, width), theme, width) for theme in (LIGHT, DARK) for width in (WIDE, NARROW)
        )


def days_chart(days: Sequence[str], values: Sequence[int], *, before: Sequence[int], color: str) -> Picture:
    """Return a chart with a column for each day (or week) given as 2026-11-02, and a mark for the one before it."""
    rows = [{"day": day, "n": n, "before": earlier} for day, n, earlier in zip(days, values, before, strict=True)]

    def chart(theme: Theme, width: int) -> Any:
        every = -(-len(days) // (14 if width == WIDE else 6))
        label = alt.Axis(
            title=None,
            values=list(days[::every]),
            labelExpr="utcFormat(toDate(datum.label), '%-d %b')",
            labelAngle=0,
            labelOverlap=False,
            labelPadding=6,
            grid=False,
            ticks=False,
        )
        top = max([*values, *before, 1])  # a domain from 0 to 0 has no axis
        # In layers Vega keeps no least step: of two badges it would mark each half.
        whole = {"values": list(range(top + 1))} if top < _FEW else {"tickCount": 3}
        amount = alt.Axis(title=None, format=",d", domain=False, ticks=False, **whole)
        base = _chart_of(rows).encode(
            x=alt.X("day:O", sort=None, axis=label, scale=alt.Scale(paddingInner=0.15, paddingOuter=0.1))
        )
        scale = alt.Scale(domain=[0, top], nice=True)
        bars = base.mark_bar(color=getattr(theme, color), cornerRadiusEnd=1)
        marks = base.mark_tick(color=theme.ink, thickness=2, opacity=0.7)
        drawn = bars.encode(y=alt.Y("n:Q", axis=amount, scale=scale))
        earlier = marks.encode(y=alt.Y("before:Q", axis=amount, scale=scale))
        return (drawn + earlier).properties(width=width, height=150)

    return Picture(chart)


def bars_chart(bars: Sequence[Bar]) -> Picture:
    """Return a chart with a horizontal bar for each row, in the order given, with a label at its end."""
    order = [bar.name for bar in bars]
    extent = _LETTER * max(len(name) for name in order) + 12

    def chart(theme: Theme, width: int) -> Any:
        rows = [
            {"name": bar.name, "n": bar.value, "label": bar.label, "color": getattr(theme, bar.color)} for bar in bars
        ]
        names = alt.Axis(
            title=None, ticks=False, domain=False, labelLimit=extent, labelPadding=8, minExtent=extent, maxExtent=extent
        )
        scale = alt.Scale(domain=[0, _longest(bars, width - extent)], nice=False)
        base = _chart_of(rows).encode(y=alt.Y("name:N", sort=order, axis=names), x=alt.X("n:Q", axis=None, scale=scale))
        drawn = base.mark_bar(height=_BAR * 0.62, cornerRadiusEnd=1).encode(color=alt.Color("color:N", scale=None))
        labels = base.mark_text(align="left", dx=6, color=theme.ink, fontSize=13).encode(text="label:N")
        return (drawn + labels).properties(width=width, height=_BAR * len(bars))

    return Picture(chart)


def _longest(bars: Sequence[Bar], room: float) -> float:
    # The value of a bar across the whole width, so large that each label fits behind its bar. The bars keep a fifth of
    # the width: on a narrow page a long label may be cut, but the bars stay visible.
    fitting = [bar.value * room / max(room - _LETTER * len(bar.label) - 24, room / 5) for bar in bars]
    return max([*fitting, 1])


def _chart_of(rows: list[dict[str, Any]]) -> Any:
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def _svg(chart: Any, theme: Theme, width: int) -> Markup:
    configured = chart.properties(
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        background="transparent",
        padding=_PADDING,
    ).configure(
        font=_FONT,
        axis=alt.AxisConfig(labelColor=theme.ink, labelFontSize=12, gridColor=theme.faint, domainColor=theme.faint),
        view=alt.ViewConfig(stroke=None),
    )
    svg = vl_convert.vegalite_to_svg(configured.to_dict())
    # Ids must be unique on the page, and a page has many charts.
    svg = re.sub(r'(\bid="|url\(#)', rf"\g<1>c{next(_NUMBERS)}-", svg)
    size = "wide" if width == WIDE else "narrow"
    return Markup(  # noqa: S704 - made by vl-convert, which escapes text
        svg.replace("<svg ", f'<svg aria-hidden="true" data-theme="{theme.name}" data-size="{size}" ', 1)
    )
