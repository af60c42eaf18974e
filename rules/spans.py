"""Durations, shares and differences as text for reports."""

_UNITS = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))


def time_in_words(seconds: int | None) -> str:
    """Return a time in its two largest units, rounded down: `45 s`, `2 h 5 min`, `3 days`; None is a dash."""
    if seconds is None:
        return "–"
    parts: list[str] = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count != 1 else ''}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "0 s"


def share(part: int, whole: int) -> str:
    """Return a share in whole per cent; 0 and 100 only where it is exactly so."""
    if not whole:
        return "–"
    # Not rounded to 0 or 100: one failed badge of a thousand must not disappear behind "100 %".
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "<1 %"
    return ">99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def change(now: int, before: int) -> str:
    """Return how a count differs from the one before, in words: `+12 (+8 %)`, `no change`."""
    if now == before:
        return "no change"
    difference = f"{now - before:+,}".replace("-", "−")
    if not before:
        return f"{difference} (none before)"
    percent = round(100 * (now - before) / before)
    return f"{difference} ({percent:+,} %)".replace("-", "−")
