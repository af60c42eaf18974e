"""Turns are evenly spaced, are not saved up, and wait behind a pause. The clock is the test's own."""

import asyncio
from datetime import timedelta

import pytest

from tasks.runtime.rate_limiter import SPACING_MARGIN, RateLimiter


class Book:
    """The organization's time, as the database keeps it, and a clock that moves while somebody sleeps."""

    def __init__(self) -> None:
        self.now = self.next = 1000.0
        self.booked: list[float] = []
        self.late = 0.0  # by so much the next sleeper wakes late

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds + self.late
        self.late = 0.0
        await asyncio.sleep(0)

    async def book(self, seconds: float, later: float) -> float:
        begins = max(self.now, self.next) + later
        self.next = begins + seconds
        self.booked.append(seconds)
        return begins

    async def hold(self, seconds: float) -> None:
        self.next = max(self.next, self.now + seconds)

    def pace(self, calls_per_second: float) -> RateLimiter:
        return RateLimiter(
            calls_per_second=calls_per_second,
            reserve=self.book,
            pause_all=self.hold,
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    async def turns(self, pace: RateLimiter, count: int) -> list[float]:
        found = []
        for _ in range(count):
            await pace.acquire()
            found.append(round(self.now - 1000, 6))
        return found


@pytest.fixture
def book() -> Book:
    return Book()


async def test_a_slow_pace_books_one_turn_at_a_time(book: Book) -> None:
    apart = SPACING_MARGIN / 2

    assert await book.turns(book.pace(2), 3) == [0, apart, 2 * apart]
    assert book.booked == [apart, apart, apart]


async def test_a_quick_pace_books_a_quarter_of_a_second_at_once(book: Book) -> None:
    turns = await book.turns(book.pace(100), 51)

    assert turns == pytest.approx([place * SPACING_MARGIN / 100 for place in range(51)])
    assert book.booked == pytest.approx([0.25 * SPACING_MARGIN, 0.25 * SPACING_MARGIN, 0.25 * SPACING_MARGIN])


async def test_calls_that_arrive_a_little_unevenly_are_none_too_many_within_a_second(book: Book) -> None:
    turns = await book.turns(book.pace(3), 4)

    assert turns[3] - turns[0] == pytest.approx(SPACING_MARGIN)
    assert 1.01 < SPACING_MARGIN < 1.03  # more would cost more than the pace may


async def test_after_a_turn_that_came_late_no_second_holds_too_many(book: Book) -> None:
    pace = book.pace(3)
    first = await book.turns(pace, 2)
    book.late = 0.2

    late, *rest = await book.turns(pace, 4)

    moments = [*first, late, *rest]
    assert late == pytest.approx(2 * SPACING_MARGIN / 3 + 0.2)
    assert all(after - before >= 0.999999 for before, after in zip(moments, moments[3:], strict=False))


async def test_a_turn_that_one_process_took_late_makes_no_second_hold_too_many_with_anothers(book: Book) -> None:
    processes = [book.pace(3), book.pace(3)]
    moments = []
    for place in range(12):
        book.late = 0.2 if place == 4 else 0.0
        moments += await book.turns(processes[place % 2], 1)

    assert moments[4] == pytest.approx(4 * SPACING_MARGIN / 3 + 0.2)
    assert all(after - before >= 0.999999 for before, after in zip(moments, moments[3:], strict=False))


async def test_two_processes_take_turns(book: Book) -> None:
    mine, theirs = book.pace(2), book.pace(2)

    assert await book.turns(mine, 1) + await book.turns(theirs, 1) + await book.turns(mine, 1) == [
        0,
        SPACING_MARGIN / 2,
        SPACING_MARGIN,
    ]


async def test_turns_are_not_saved_up(book: Book) -> None:
    pace = book.pace(100)
    await pace.acquire()
    book.now += 60

    turns = await book.turns(pace, 26)

    assert turns == pytest.approx([60 + place * SPACING_MARGIN / 100 for place in range(26)])


async def test_a_pause_holds_who_waits_and_who_comes(book: Book) -> None:
    pace, other = book.pace(100), book.pace(100)
    await pace.acquire()

    await pace.pause(timedelta(seconds=30))

    assert (await book.turns(pace, 1))[0] >= 30
    assert (await book.turns(other, 1))[0] > 30


async def test_a_pause_that_comes_while_somebody_sleeps_is_slept_out(book: Book) -> None:
    pace = book.pace(1)
    await pace.acquire()

    waiting = asyncio.create_task(pace.acquire())
    await asyncio.sleep(0)
    await pace.pause(timedelta(seconds=10))
    await waiting

    assert book.now - 1000 >= 10
