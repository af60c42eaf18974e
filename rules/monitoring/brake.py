"""A circuit breaker for each organization: stops calls in a run when Credly repeatedly does not answer or throttles."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Throttled, Unclear
from rules.ledger.reasons import Reason

UNANSWERED_AT_MOST = 20  # calls in a row
UNANSWERED_OVER_TIME = 5  # calls in a row that together took UNANSWERED_FOR
UNANSWERED_FOR = timedelta(minutes=1)
LOOK_UP = "find_badges"
ENDLESS_AT_MOST = 5  # look-ups in a row
UNAUTHORIZED = 401
THROTTLED_AT_MOST = 5  # times in a row; concurrent calls count once


@dataclass
class _Series:
    """Calls in a row without success."""

    unanswered: int = 0
    unanswered_since: datetime | None = None
    throttled: int = 0
    paused: timedelta = timedelta(0)
    paused_at: datetime | None = None


@dataclass
class Brake:
    """Whether an organization was stopped in this run, and why. The first reason is kept.

    Args:
        pause_limit: the total of pauses after throttling without a success between them.
    """

    pause_limit: timedelta
    stopped: Reason | None = None
    _endless: int = 0
    _series: dict[str, _Series] = field(default_factory=dict, repr=False)

    def stop(self, reason: Reason) -> None:
        self.stopped = self.stopped or reason

    def note(
        self,
        error: CredlyError | None,
        *,
        operation: str,
        started_at: datetime,
        now: datetime,
        pause: timedelta = timedelta(0),
    ) -> None:
        """Count the result of a call; `pause` is the wait of the organization after a throttled one."""
        # By operation: lists that can be read do not show that issuing works.
        series = self._series.setdefault(operation, _Series())
        if isinstance(error, Throttled):
            self._note_throttled(series, started_at=started_at, now=now, pause=pause)
        elif error is None or _is_answer(error, operation):
            self._series[operation] = _Series()
        else:
            self._note_unanswered(series, started_at=started_at, now=now)

    def note_look_up(self, *, has_end: bool) -> None:
        # A list without end costs a hundred calls, and none of them fails.
        self._endless = 0 if has_end else self._endless + 1
        if self._endless >= ENDLESS_AT_MOST:
            self.stop(Reason.NOT_REACHABLE)

    def _note_throttled(self, series: _Series, *, started_at: datetime, now: datetime, pause: timedelta) -> None:
        if series.paused_at is not None and started_at < series.paused_at:
            return  # it was under way when the pause began
        series.throttled += 1
        series.paused += pause
        series.paused_at = now
        too_long = series.throttled > 1 and series.paused >= self.pause_limit
        if too_long or series.throttled >= THROTTLED_AT_MOST:
            self.stop(Reason.THROTTLED)

    def _note_unanswered(self, series: _Series, *, started_at: datetime, now: datetime) -> None:
        series.unanswered += 1
        series.unanswered_since = series.unanswered_since or started_at
        too_long = series.unanswered >= UNANSWERED_OVER_TIME and now - series.unanswered_since >= UNANSWERED_FOR
        if too_long or series.unanswered >= UNANSWERED_AT_MOST:
            self.stop(Reason.NOT_REACHABLE)


def _is_answer(error: CredlyError, operation: str) -> bool:
    # A refusal is an answer: Credly works. A refused token, or a list that may not be read, shows nothing about the
    # operation itself.
    if isinstance(error, (NotSent, Unclear)) or not error.in_credly_form or error.status == UNAUTHORIZED:
        return False
    return not (operation == LOOK_UP and isinstance(error, (NotConnected, NotFound)))
