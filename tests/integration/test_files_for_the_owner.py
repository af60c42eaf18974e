"""Files with people in them can be read by their owner alone, whatever the umask."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.database import Database
from models.migrate import create_platform_tables
from settings import ROOT


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): f"{file.stat().st_mode & 0o777:o}" for file in sorted(folder.rglob("*"))}


@pytest.mark.usefixtures("_open_umask")
async def test_a_ledger_on_sqlite_and_its_write_ahead_log(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new/deep/laurel.db")
    await create_platform_tables(database)
    found = modes(tmp_path / "new")
    await database.dispose()

    assert found == {
        "deep": "700",
        "deep/laurel.db": "600",
        "deep/laurel.db-shm": "600",
        "deep/laurel.db-wal": "600",
    }


def test_what_an_import_writes(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,first_name\nada,Ada\n")

    done = subprocess.run(
        [sys.executable, "-m", "models.import_csv", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"LAUREL_DATABASE_URL": f"sqlite:///{tmp_path}/new/laurel.db"},
        umask=0o022,
        check=False,
    )

    assert done.returncode == 0
    assert modes(tmp_path / "new") == {"laurel.db": "600"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
