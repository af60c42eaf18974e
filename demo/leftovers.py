"""Removes what an earlier demo left. `make start` keeps its ledger and tokens in the same folder: those stay."""

import shutil
import sqlite3
import sys
from contextlib import closing

from demo import servers
from demo.servers import FOLDER, HOST, DemoError
from settings import DEFAULT_DATABASE, settings


def refuse_own_platform() -> None:
    """Raise where the settings or the ledger in .laurel are those of a platform of one's own."""
    if settings().database_url != f"sqlite:///{DEFAULT_DATABASE}":
        raise DemoError(
            "LAUREL_DATABASE_URL points at a database other than .laurel/laurel.db, and the demo removes and fills "
            "only its own: unset it and start the demo again."
        )
    if settings().platform_url:
        raise DemoError(
            "LAUREL_PLATFORM_URL is set, and the demo would read that platform: unset it, also in .env, or start the "
            "demo in a clone of its own."
        )
    refuse_own_ledger()


def refuse_own_ledger() -> None:
    """Raise where .laurel/laurel.db has, or had, a connection to anything but a stand-in on this machine."""
    if found := _connected_elsewhere():
        raise DemoError(
            f".laurel/laurel.db is a ledger in use: it connects {', '.join(found[:3])}"
            f"{' and others' if len(found) > 3 else ''} to Credly. Without the ledger, badges would be issued again. "
            "Start the demo in a clone of its own; to give the ledger up, delete .laurel by hand."
        )


def _connected_elsewhere() -> list[str]:
    if not DEFAULT_DATABASE.exists():
        return []
    # Not through models/: the file may be of any revision, or of a demo that was cut off.
    found = list[str]()
    with closing(sqlite3.connect(DEFAULT_DATABASE)) as connection:
        for named, table in (("portal_id", "credly_connections"), ("organization_id", "credly_organizations")):
            query = f"SELECT {named} FROM {table} WHERE base_url NOT LIKE ? ORDER BY {named}"  # noqa: S608 - our names
            try:
                found += [str(each) for (each,) in connection.execute(query, (f"http://{HOST}:%",))]
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise DemoError(f".laurel/laurel.db could not be read ({error}); nothing was removed.") from error
    return found


def remove_data() -> None:
    """Remove the databases and Prefect's home, and leave the lock, reports and logs."""
    for name in ("laurel.db", "standin.db"):
        for file in FOLDER.glob(f"{name}*"):
            file.unlink()
    shutil.rmtree(FOLDER / "prefect", ignore_errors=True)


def main() -> int:
    try:
        with servers.only_one_here():
            refuse_own_ledger()
            shutil.rmtree(FOLDER)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
