"""The required revision of the ledger's tables. Not in migrate.py, because importing Alembic is slow."""

from sqlalchemy import Connection, text

from models.errors import NotUsable

VERSION_TABLE = "laurel_alembic_version"
REVISION = "0015"


def check_revision(connection: Connection) -> None:
    """Check that the ledger's tables have the revision of this code.

    Raises:
        NotUsable: they are older and have to be migrated, or newer and this process has to be updated.
    """
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
    if found == REVISION:
        return
    if (found or "") < REVISION:
        todo = "Stop the workers, back the database up, and run `python -m scripts.setup_deployment`"
    else:
        todo = "This process is of an earlier version: update it, as the server and the other workers were"
    raise NotUsable(
        f"The ledger's tables are of revision {found}, and this version of Laurel needs {REVISION}. {todo}."
    )
