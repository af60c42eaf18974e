"""Moving a written file to where people read it: a folder, a share or a bucket, by any address of fsspec."""

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from rules.forms.inputs import InvalidInput
from rules.markdown import code
from settings import ROOT, Settings

_READABLE_FILE, _READABLE_FOLDER = 0o644, 0o755


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a file is, for a page, and the address that opens it in a browser, or None."""

    words: str
    link: str | None = None


def deliver(path: Path, settings: Settings, *, personal: bool = False) -> Place:
    """Move the file to `LAUREL_REPORTS_TARGET`, where one is set; one with personal data stays.

    Raises:
        InvalidInput: the target cannot be written to; the file stays where it is.
    """
    local = f"on the machine of the worker: {code(str(path), longest=500)}"
    if personal:
        return Place(words=local)
    within = path.relative_to((ROOT / settings.reports_folder).resolve()).as_posix()
    link = f"{settings.reports_link.rstrip('/')}/{quote(within)}" if settings.reports_link else None
    if not settings.reports_target:
        return Place(words=local, link=link)
    target = f"{settings.reports_target.rstrip('/')}/{within}"
    with reaching(settings.reports_target, "nothing could be written to", f"The file is {local}"):
        move(path, target)
    return Place(words=code(target, longest=500), link=link)


@contextmanager
def reaching(target: str, failed: str, then: str) -> Iterator[None]:
    """Turn errors of the target's file system into a sentence for the operator.

    Raises:
        InvalidInput: the target could not be reached.
    """
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001 - each file system of fsspec raises classes of its own
        # Not the message, in which a file system may quote its credentials.
        raise InvalidInput(
            f"LAUREL_REPORTS_TARGET: {failed} {code(target, longest=500)} ({type(error).__name__}). Check the address, "
            f"its permissions, and that its fsspec package is installed. {then}"
        ) from None


def move(path: Path, target: str, check: Callable[[AbstractFileSystem, str], None] | None = None) -> None:
    """Move the file to the target. `check` is called on what arrived, before it has its name."""
    system, there = url_to_fs(target)
    unfinished = posixpath.join(posixpath.dirname(there), f".{posixpath.basename(there)}.{uuid4().hex[:8]}.unfinished")
    is_folder = isinstance(system, LocalFileSystem)
    if is_folder:
        _make_readable_folders(Path(there).parent)
    else:
        system.makedirs(posixpath.dirname(there), exist_ok=True)
    try:
        system.put_file(str(path), unfinished)
        if is_folder:
            Path(unfinished).chmod(_READABLE_FILE)
        if check:
            check(system, unfinished)
        if system.exists(there) and not check:  # over SMB a rename replaces nothing
            system.rm_file(there)
        system.mv(unfinished, there)
    except BaseException:
        if system.exists(unfinished):
            system.rm_file(unfinished)
        raise
    path.unlink()


def _make_readable_folders(folder: Path) -> None:
    # The umask of a worker leaves everything to its owner; who may read what is delivered, the target's folder decides.
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        each.chmod(_READABLE_FOLDER)
