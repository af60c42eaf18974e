"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, what: str, within: float = 60) -> T:
    """Return what the condition returns once it is true; fail after `within` seconds, far more than it takes."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {within:.0f} s: {what}")
        time.sleep(0.05)
    return found
