"""Periods are whole days in UTC."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.datasets import TIME_BUCKETS, bucket_of
from rules.forms.inputs import InvalidInput
from rules.forms.period import ALWAYS, EARLIEST, LATEST, Days, Period, Span, days_of, period_of

MONDAY = date(2026, 11, 2)
DAYS = st.dates(EARLIEST, LATEST)


@given(DAYS, DAYS)
def test_a_period_begins_and_ends_at_midnight_in_utc(one: date, other: date) -> None:
    first, last = sorted((one, other))

    period = period_of(first, last)

    assert period.start == datetime(first.year, first.month, first.day, tzinfo=UTC)
    assert period.end is not None
    assert period.end - period.start == timedelta(days=(last - first).days + 1)


@given(DAYS, st.integers(1, 400))
def test_the_days_before_are_as_many_and_end_where_the_days_begin(first: date, count: int) -> None:
    days = Days(first=first, last=min(LATEST, first + timedelta(days=count - 1)))

    assert len(list(days)) == days.count == days.before.count
    assert days.before.period.end == days.period.start


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        (Span.LAST_7_DAYS, "2026-10-27", "2026-11-02"),
        (Span.LAST_WEEK, "2026-10-26", "2026-11-01"),
        (Span.LAST_30_DAYS, "2026-10-04", "2026-11-02"),
        (Span.LAST_MONTH, "2026-10-01", "2026-10-31"),
    ],
)
def test_a_span_is_counted_from_today(span: Span, first: str, last: str) -> None:
    days = days_of(ALWAYS, span, today=MONDAY, longest=400)

    assert days == Days(first=date.fromisoformat(first), last=date.fromisoformat(last))


def test_the_last_month_of_january_is_december() -> None:
    days = days_of(ALWAYS, Span.LAST_MONTH, today=date(2027, 1, 31), longest=400)

    assert (str(days.first), str(days.last)) == ("2026-12-01", "2026-12-31")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("2026-10-01", "2026-10-02"), ("2026-10-01", "2026-10-02")),
        (("2026-10-01", ""), ("2026-10-01", "2026-11-02")),
        (("", "2026-10-10"), ("2026-10-04", "2026-10-10")),
        (("2026-11-02", ""), ("2026-11-02", "2026-11-02")),
    ],
)
def test_an_open_side_is_closed(given: tuple[str, str], expected: tuple[str, str]) -> None:
    days = days_of(period_of(*given), Span.LAST_7_DAYS, today=MONDAY, longest=400)

    assert (str(days.first), str(days.last)) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("2026-13-01", ""), "from_day: '2026-13-01' is not a day. Give one such as 2026-11-02."),
        (("", "yesterday"), "until_day: 'yesterday' is not a day. Give one such as 2026-11-02."),
        (("2026-11-02", "2026-11-01"), "until_day: 2026-11-01 is before from_day, 2026-11-02."),
        (("0026-11-02", ""), "from_day: 0026-11-02 is out of range. Give a day from 2000-01-01 to 2999-12-31."),
        (("", "9999-12-31"), "until_day: 9999-12-31 is out of range."),
    ],
)
def test_a_bad_period_has_one_clear_error(given: tuple[str, str], words: str) -> None:
    with pytest.raises(InvalidInput) as mistake:
        period_of(*given)

    assert str(mistake.value).startswith(words)


def test_an_error_names_the_fields_as_the_form_has_them() -> None:
    with pytest.raises(InvalidInput, match=r"^until: 2026-11-01 is before since, 2026-11-02\."):
        period_of("2026-11-02", "2026-11-01", fields=("since", "until"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("2026-11-03", ""), "from_day: 2026-11-03 is after today, 2026-11-02 (UTC)."),
        (("2020-01-01", ""), "from_day: 2020-01-01 to 2026-11-02 is 2498 days, and a report has at most 400."),
    ],
)
def test_a_period_that_a_report_cannot_have(given: tuple[str, str], words: str) -> None:
    with pytest.raises(InvalidInput) as mistake:
        days_of(period_of(*given), Span.LAST_7_DAYS, today=MONDAY, longest=400)

    assert str(mistake.value).startswith(words)


def test_a_moment_is_taken_for_its_day_in_utc() -> None:
    auckland = datetime(2026, 11, 2, 8, tzinfo=timezone(timedelta(hours=13)))

    assert period_of(auckland, None).first == date(2026, 11, 1)


@pytest.mark.parametrize(
    ("period", "words", "name"),
    [
        (ALWAYS, "since the beginning", "all"),
        (Period(first=MONDAY), "since 2026-11-02 (UTC)", "2026-11-02-to-now"),
        (Period(last=MONDAY), "until 2026-11-02 (UTC)", "beginning-to-2026-11-02"),
        (Period(first=MONDAY, last=MONDAY), "on 2026-11-02 (UTC)", "2026-11-02-to-2026-11-02"),
        (
            Period(first=MONDAY, last=date(2026, 11, 3)),
            "from 2026-11-02 to 2026-11-03 (UTC)",
            "2026-11-02-to-2026-11-03",
        ),
    ],
)
def test_a_period_has_words_and_a_name(period: Period, words: str, name: str) -> None:
    assert (period.words, period.name) == (words, name)


def test_each_time_is_in_the_bucket_whose_bounds_it_is_within() -> None:
    bounds = [bound for bound, _words in TIME_BUCKETS if bound is not None]

    assert [bucket_of(bound - 1) for bound in bounds] == list(range(len(bounds)))
    assert [bucket_of(bound) for bound in bounds] == list(range(1, len(bounds) + 1))
    assert bucket_of(0) == 0
