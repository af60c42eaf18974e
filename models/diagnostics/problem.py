"""A result of the database check."""

from dataclasses import dataclass

OWNERS_STATEMENT = "The owner runs the statement below."


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem of the database: where, what, and the remedy. One that `stops` ends the check.

    `statement`: what a database administrator would run, with schema, ready to be copied.
    """

    where: str
    what: str
    advice: str
    stops: bool = False
    needs_attention: bool = True
    statement: str = ""
