"""What the examination of a database tells."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Something that the database lacks: where, what, and what to do about it. One that `stops` hides the others."""

    where: str
    what: str
    advice: str
    stops: bool = False
    needs_a_person: bool = True
