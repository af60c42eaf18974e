"""Finds a user's id by the primary e-mail address, on this machine only: `python -m models.find_user ADDRESS`.

Not a flow, on purpose: what a flow is given is kept in Prefect's database.
"""

import asyncio
import sys

from models.database import open_configured
from models.platform.people import users_with_primary_address
from rules.choices import Mistake


async def find(address: str) -> list[str]:
    """Return the ids of the users with this primary address, in the configured database."""
    async with open_configured() as database:
        return await database.platform.read(users_with_primary_address, address)


def main() -> int:
    """Print the ids, one a line."""
    if len(sys.argv) != 2:
        sys.stderr.write("Give one e-mail address: python -m models.find_user ADDRESS\n")
        return 2
    try:
        ids = asyncio.run(find(sys.argv[1]))
    except Mistake as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    sys.stdout.write("".join(f"{user_id}\n" for user_id in ids))
    if not ids:
        sys.stderr.write("No user has this as primary e-mail address.\n")
    return 0 if ids else 1


if __name__ == "__main__":
    sys.exit(main())
