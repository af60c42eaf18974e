"""Awards that the platform moved to another user, as where two accounts are merged: whose rows they were."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from models.database import Database
from models.planning.pairs import rows_of_awards
from models.platform.awards import Key, valid_among
from rules.ledger.eligibility import Award, Issuance

Moved = Mapping[Key, tuple[Key, Issuance]]


async def moved_to(
    database: Database, awards: Mapping[Key, Sequence[Award]], keys: Collection[Key], *, now: datetime
) -> dict[Key, Issuance]:
    """Return, by the pair that holds an award now, another user's row that was entered for this very award.

    The same id alone is not enough: a platform that loads its awards again may give them other ids. The moment has to
    be the same as well, and the former user may hold no valid award of the achievement any more. `now` is UTC.
    """
    candidates = await database.read(_entered_for, {key: awards[key] for key in keys if awards.get(key)})
    if not candidates:
        return {}
    former = {other for other, _ in candidates.values()}
    still_valid = await database.platform.read(valid_among, former, now=now)
    return {key: row for key, (other, row) in candidates.items() if other not in still_valid}


def _entered_for(connection: Connection, awards: Mapping[Key, Sequence[Award]]) -> Moved:
    entered = rows_of_awards(connection, [award.award_id for of_key in awards.values() for award in of_key])
    found: dict[Key, tuple[Key, Issuance]] = {}
    for key, of_key in awards.items():
        for award in of_key:
            other, row = entered.get(award.award_id, (key, None))
            if row is not None and other[0] == key[0] and other[1] != key[1] and row.awarded_at == award.awarded_at:
                found[key] = (other, row)
    return found
