"""What a flow tells the person who started it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Told:
    """The outcome in a sentence (the run's state), and a page with what was done, what it means, what to do next."""

    sentence: str
    page: str = ""
    needs_a_person: bool = False
    badge_url: str | None = None
