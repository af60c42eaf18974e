"""The MariaDB of the tests: the system's server, in a folder of its own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from demo.servers import free_port

READER, READERS_PASSWORD = "laurel", "read only"
_FAST = (
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=64M",
)


def mariadb_paths() -> tuple[str, str]:
    """Return where the server and its installer are; skip the tests where there is none, but fail them in CI."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    server, installer = (shutil.which(name, path=search) for name in ("mariadbd", "mariadb-install-db"))
    if server and installer:
        return server, installer
    missing = "There is no MariaDB: install the package mariadb-server-core (scripts/mariadb.sh)."
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def running_mariadb() -> Iterator[str]:
    """Start a server on a free port of 127.0.0.1, and give its administrator's address; gone when the block ends."""
    server, installer = mariadb_paths()
    # Not pytest's folder: the path of a socket may have no more than 107 characters.
    with tempfile.TemporaryDirectory(prefix="laurel-mariadb-", ignore_cleanup_errors=True) as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        # A folder of its own for temporary files: two servers that share /tmp remove each other's.
        own = ["--no-defaults", f"--datadir={data}", f"--tmpdir={folder}"]
        own += ["--user=root"] if os.geteuid() == 0 else []
        install = (installer, *own, "--auth-root-authentication-method=normal", "--skip-test-db", *_FAST)
        subprocess.run(install, check=True, capture_output=True, timeout=120)
        port = free_port()
        options = (
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--socket={folder}/socket",
            f"--pid-file={folder}/pid",
        )
        with log.open("w") as output:
            process = subprocess.Popen((server, *own, *options, *_FAST), stdout=output, stderr=subprocess.STDOUT)
        try:
            address = f"mysql+pymysql://root@127.0.0.1:{port}"
            _wait_for(port, process, log)
            administer(
                address,
                f"CREATE USER '{READER}'@'%' IDENTIFIED BY '{READERS_PASSWORD}'",
                f"GRANT SELECT ON *.* TO '{READER}'@'%'",
            )
            yield address
        finally:
            process.terminate()
            process.wait(60)


def administer(address: str, *statements: str) -> None:
    """Run statements as the administrator, each by itself."""
    engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def as_reader(address: str, database: str) -> str:
    """Return the address of a database for the account that may only read."""
    return address.replace("root@", f"{READER}:{READERS_PASSWORD.replace(' ', '%20')}@") + f"/{database}"


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends_at = time.monotonic() + 60
    while True:
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="root").close()
        except pymysql.err.OperationalError:
            if process.poll() is not None or time.monotonic() > ends_at:
                raise AssertionError(f"MariaDB did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            return
