"""Files that are complete or absent: written under another name and moved when complete."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from rules.forms.inputs import InvalidInput
from rules.markdown import code
from settings import ROOT

_OWNER_ONLY = 0o600
_LONGEST = 60


def folder_of(folder: str, *, default: Path) -> Path:
    """Return the folder to write to; a relative one is in the checkout."""
    return ROOT / Path(folder).expanduser() if folder.strip() else ROOT / default


def part_of_name(text: str) -> str:
    """Return text as part of a file's name: plain characters only, and different for different texts."""
    # With a digest where characters were replaced or cut: two ids must not share a file.
    fit = re.sub(r"[^A-Za-z0-9._-]", "_", text)[:_LONGEST]
    return fit if fit == text else f"{fit}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@contextmanager
def whole_file(target: Path, *, owner_only: bool = False) -> Iterator[Path]:
    """Yield a path to write to; at the end the file is moved to the target, on an error it is removed.

    Nobody but its owner may read the file while it is written, and with `owner_only` afterwards.

    Raises:
        InvalidInput: the folder cannot be created, or cannot be written to.
    """
    unfinished = target.with_name(f".{target.name}.{uuid4().hex[:8]}.unfinished")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Created with its mode, since a chmod afterwards would leave a moment in which others can read it.
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ONLY))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise InvalidInput(
            f"folder: nothing can be written to {code(str(target.parent))} on this machine ({why}). Enter another "
            "folder, or leave it empty."
        ) from None
    try:
        yield unfinished
        if not owner_only:
            unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _umask() -> int:
    # The only way to read it is to set it.
    before = os.umask(0o077)
    os.umask(before)
    return before
