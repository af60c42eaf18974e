"""What a flow tells the person who started it."""

from dataclasses import dataclass


def counted(count: int, noun: str) -> str:
    """Return the count with its noun: `1 badge`, `2 badges`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True, kw_only=True)
class Told:
    """The outcome in a sentence (the run's state), and a page with what was done, what it means, what to do next."""

    sentence: str
    page: str = ""
    done: bool = True
    needs_a_person: bool = False
    badge_url: str | None = None
