"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, what: str, within: float = 60) -> T:
    """Return what the condition returns once it is true; fail after `within` seconds, far more than it takes.

    The longer it takes, the less often it looks: what it looks at needs the same processors.
    """
    begun = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - begun
        if waited > within:
            raise TimeoutError(f"Not within {within:.0f} s: {what}")
        time.sleep(min(0.01 + waited / 20, 0.5))
    return found
