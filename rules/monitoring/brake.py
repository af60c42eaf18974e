"""When an organization gets no further calls in a run: where Credly does not answer, or throttles, again and again."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from credly.errors import CredlyError, NotConnected, NotFound, NotSent, Throttled, Unclear
from rules.reasons import Reason

UNANSWERED_AT_MOST = 20  # calls in a row
UNANSWERED_OVER_TIME = 5  # calls in a row that took so long together
UNANSWERED_FOR = timedelta(minutes=1)
LOOK_UP = "find_badges"
ENDLESS_AT_MOST = 5  # look-ups in a row
TOKEN_REFUSED = 401
THROTTLED_AT_MOST = 5  # times in a row; calls that were under way together are one time


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
    """Whether an organization was stopped in this run, and why. The first reason stands.

    Calls are judged by calls of their kind: that Credly's lists can be read does not show that it issues.

    Args:
        pause_limit: how long the pauses after throttling may be together without one success between them.
    """

    pause_limit: timedelta
    stopped: Reason | None = None
    _endless: int = 0
    _of: dict[str, _Series] = field(default_factory=dict, repr=False)

    def stop(self, reason: Reason) -> None:
        """Let no further call be made in this run."""
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
        """Take the end of a call into account; `pause` is how long the organization rests after a throttled one."""
        series = self._of.setdefault(operation, _Series())
        if isinstance(error, Throttled):
            self._note_throttled(series, started_at=started_at, now=now, pause=pause)
        elif error is None or _is_answer(error, operation):
            self._of[operation] = _Series()
        else:
            self._note_unanswered(series, started_at=started_at, now=now)

    def note_look_up(self, *, has_end: bool) -> None:
        """Take a whole look-up into account: a list without end costs a hundred calls, and none of them fails."""
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
    """Say whether Credly answered the question, with a refusal.

    A refused token, if it is one, says nothing of what was asked for, nor does a list that may not be read.
    """
    if isinstance(error, (NotSent, Unclear)) or not error.in_credly_form or error.status == TOKEN_REFUSED:
        return False
    return not (operation == LOOK_UP and isinstance(error, (NotConnected, NotFound)))
