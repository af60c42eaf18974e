"""Finds users by the primary e-mail address or by a part of the name: `python -m models.find_user ADDRESS|NAME`.

Prints ids with masked names, on this machine only. Not a flow, because Prefect stores the parameters of a flow in its
database.
"""

import asyncio
import sys

from sqlalchemy import Connection

from models.database import open_configured
from models.platform.people import persons, users_like
from rules.badge.masking import mask_user
from rules.forms.inputs import InvalidInput

_AT_MOST = 20
_NEXT = """
Issue a badge by hand, with the id in place of ID, or give it to the form issue-badge:
prefect deployment run 'issue-badge/issue-badge' -p 'user="ID"' -p achievement=ACHIEVEMENT
"""


def _found(connection: Connection, typed: str) -> list[tuple[str, str]]:
    ids = users_like(connection, typed, limit=_AT_MOST + 1)
    known = persons(connection, ids)
    return [
        (key, mask_user(known[key].first_name, known[key].last_name, known[key].email)) for key in ids if key in known
    ]


async def find(typed: str) -> list[tuple[str, str]]:
    async with open_configured() as database:
        return await database.platform.read(_found, typed)


def main() -> int:
    typed = " ".join(sys.argv[1:])
    if not typed.strip():
        sys.stderr.write("Give an e-mail address or a part of a name: python -m models.find_user ADDRESS|NAME\n")
        return 2
    try:
        found = asyncio.run(find(typed))
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("".join(f"{user_id}\t{shown}\n" for user_id, shown in found[:_AT_MOST]))
    if not found:
        sys.stderr.write("No user has this as primary e-mail address or in the name.\n")
        return 1
    more = f"There are more than {_AT_MOST}: give more of the name.\n" if len(found) > _AT_MOST else ""
    sys.stderr.write(more + _NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
