"""Finds a user's id by the primary e-mail address, on this machine only: `python -m models.find_user ADDRESS`.

Not a flow, because Prefect stores the parameters of a flow in its database.
"""

import asyncio
import sys

from models.database import open_configured
from models.platform.people import users_with_primary_address
from rules.forms.inputs import InvalidInput


async def find(address: str) -> list[str]:
    async with open_configured() as database:
        return await database.platform.read(users_with_primary_address, address)


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("Give one e-mail address: python -m models.find_user ADDRESS\n")
        return 2
    try:
        ids = asyncio.run(find(sys.argv[1]))
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("".join(f"{user_id}\n" for user_id in ids))
    if not ids:
        sys.stderr.write("No user has this as primary e-mail address.\n")
    return 0 if ids else 1


if __name__ == "__main__":
    sys.exit(main())
