"""The result of a form, as its operator reads it, and the wording of counts and moments."""

from dataclasses import dataclass
from datetime import UTC, datetime


def counted(count: int, noun: str) -> str:
    """Return the count with its noun: `1 badge`, `2 badges`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def moment(at: datetime | None) -> str:
    """Return an aware moment in words: `2026-11-02 08:15:42 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown moment"


@dataclass(frozen=True, kw_only=True)
class FormResult:
    """The outcome in a sentence (the message of the run's state), and a page with what was done and what to do next."""

    sentence: str
    page: str = ""
    done: bool = True
    needs_attention: bool = False
    badge_url: str | None = None
