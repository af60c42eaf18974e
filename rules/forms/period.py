"""Periods of whole days in UTC, as forms and commands take them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from rules.forms.inputs import InvalidInput

EARLIEST, LATEST = date(2000, 1, 1), date(2999, 12, 31)
_DAY = timedelta(days=1)


class Span(StrEnum):
    """Which days a report covers."""

    LAST_7_DAYS = "last 7 days"
    LAST_WEEK = "last week"
    LAST_30_DAYS = "last 30 days"
    LAST_MONTH = "last month"


@dataclass(frozen=True, kw_only=True)
class Period:
    """The days from `first` to `last`, both included, in UTC; a side that is None is open."""

    first: date | None = None
    last: date | None = None

    @property
    def start(self) -> datetime | None:
        """The first moment of the period."""
        return datetime.combine(self.first, time.min, tzinfo=UTC) if self.first else None

    @property
    def end(self) -> datetime | None:
        """The first moment after the period."""
        return datetime.combine(self.last + _DAY, time.min, tzinfo=UTC) if self.last else None

    @property
    def words(self) -> str:
        if self.first and self.last:
            one = f"on {self.first}" if self.first == self.last else f"from {self.first} to {self.last}"
            return f"{one} (UTC)"
        if self.first:
            return f"since {self.first} (UTC)"
        return f"until {self.last} (UTC)" if self.last else "since the beginning"

    @property
    def name(self) -> str:
        if self.first is None and self.last is None:
            return "all"
        return f"{self.first or 'beginning'}-to-{self.last or 'now'}"


ALWAYS = Period()


@dataclass(frozen=True, kw_only=True)
class Days:
    """A period with both ends, as a report needs one."""

    first: date
    last: date

    @property
    def period(self) -> Period:
        return Period(first=self.first, last=self.last)

    @property
    def count(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> "Days":
        return Days(first=self.first - timedelta(days=self.count), last=self.first - _DAY)

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=number) for number in range(self.count))


def period_of(
    from_day: date | str | None,
    until_day: date | str | None,
    *,
    fields: tuple[str, str] = ("from_day", "until_day"),
) -> Period:
    """Return the period from one day to another, both included; an empty side is open.

    Raises:
        InvalidInput: a text is not a day, or the period ends before it begins; the message has the form's fields.
    """
    first, last = _day(from_day, field=fields[0]), _day(until_day, field=fields[1])
    if first and last and last < first:
        raise InvalidInput(
            f"{fields[1]}: {last} is before {fields[0]}, {first}. Swap them, or leave one of them empty."
        )
    return Period(first=first, last=last)


def days_of(period: Period, span: Span, *, today: date, longest: int) -> Days:
    """Return the days of a period; an open end is today, an open beginning as many days before as the span has.

    Raises:
        InvalidInput: the period begins after today, or is longer than `longest` days.
    """
    if period.first is None and period.last is None:
        return _days_of_span(span, today)
    last = period.last or max(today, period.first or today)
    first = period.first or last - timedelta(days=_days_of_span(span, today).count - 1)
    days = Days(first=first, last=last)
    if days.first > today:
        raise InvalidInput(f"from_day: {days.first} is after today, {today} (UTC). Give a day that has begun.")
    if days.count > longest:
        raise InvalidInput(
            f"from_day: {days.first} to {days.last} is {days.count} days, and a report has at most {longest}. "
            "Give a shorter period, or use export for all of it."
        )
    return days


def _days_of_span(span: Span, today: date) -> Days:
    monday, first_of_month = today - timedelta(days=today.weekday()), today.replace(day=1)
    match span:
        case Span.LAST_WEEK:
            return Days(first=monday - timedelta(days=7), last=monday - _DAY)
        case Span.LAST_MONTH:
            return Days(first=(first_of_month - _DAY).replace(day=1), last=first_of_month - _DAY)
        case Span.LAST_30_DAYS:
            return Days(first=today - timedelta(days=29), last=today)
        case _:  # Span.LAST_7_DAYS
            return Days(first=today - timedelta(days=6), last=today)


def _day(value: date | str | None, *, field: str) -> date | None:
    if isinstance(value, str):
        value = _read(value.strip(), field=field)
    if value is None:
        return None
    # A datetime is a date in Python, and its day depends on its zone: the day is that of UTC.
    day = value.astimezone(UTC).date() if isinstance(value, datetime) else value
    if not EARLIEST <= day <= LATEST:
        raise InvalidInput(f"{field}: {day} is out of range. Give a day from {EARLIEST} to {LATEST}.")
    return day


def _read(text: str, *, field: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidInput(f"{field}: {text[:40]!r} is not a day. Give one such as 2026-11-02.") from None
