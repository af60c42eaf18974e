"""A result of the database check."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem of the database: where, what, and the remedy. One that `stops` ends the check."""

    where: str
    what: str
    advice: str
    stops: bool = False
    needs_attention: bool = True
