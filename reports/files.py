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

_LONGEST = 60


def folder_of(folder: str, *, default: Path) -> Path:
    """Return the folder to write to; a relative one is in the checkout."""
    return ROOT / Path(folder).expanduser() if folder.strip() else ROOT / default


def path_within(typed: str, allowed: Path, *, field: str) -> Path:
    """Return the path, with symbolic links followed; a relative one, or none, is in the allowed folder.

    Raises:
        InvalidInput: it is not below the allowed folder.
    """
    top = (ROOT / allowed).resolve()
    try:
        path = (top / Path(typed.strip()).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, an unknown home, a NUL
        path = Path("/")
    if not path.is_relative_to(top):
        raise InvalidInput(f"{field}: give a path in {code(str(top))} on the machine of the worker, and no other.")
    return path


def part_of_name(text: str) -> str:
    """Return text as part of a file's name: plain characters only, and different for different texts."""
    # With a digest where characters were replaced or cut: two ids must not share a file.
    fit = re.sub(r"[^A-Za-z0-9._-]", "_", text)[:_LONGEST]
    return fit if fit == text else f"{fit}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a path to write to; at the end the file is moved to the target, on an error it is removed.

    Only its owner can read the file.

    Raises:
        InvalidInput: the folder cannot be created, or cannot be written to.
    """
    unfinished = target.with_name(f".{target.name}.{uuid4().hex[:8]}.unfinished")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Created with its mode, since a chmod afterwards would leave a moment in which others can read it.
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise InvalidInput(
            f"folder: nothing can be written to {code(str(target.parent))} on this machine ({why}). Enter another "
            "folder, or leave it empty."
        ) from None
    try:
        yield unfinished
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
