"""The progress of a long run, and the time left."""

from datetime import timedelta

from rules.wording import counted


def percent(done: int, total: int) -> float:
    return min(100.0, 100 * done / total) if total else 100.0


def progress_sentence(done: int, total: int, *, elapsed: timedelta) -> str:
    """Return progress, rate and the time left: `40 of 100 badges · 4.0 a second · about 15 seconds left`."""
    rate = done / elapsed.total_seconds() if elapsed else 0.0
    how_far = f"{done} of {counted(total, 'badge')} · {rate:.1f} a second"
    if done >= total or not rate:
        return how_far
    return f"{how_far} · about {_rounded(timedelta(seconds=(total - done) / rate))} left"


def _rounded(span: timedelta) -> str:
    # One unit: an estimate to the second would promise too much.
    seconds = max(1, round(span.total_seconds()))
    if seconds < 120:
        return counted(seconds, "second")
    minutes = round(seconds / 60)
    return counted(minutes, "minute") if minutes < 120 else counted(round(minutes / 60), "hour")
