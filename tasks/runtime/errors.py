"""What Prefect keeps of an error: a run's state, log and stored exception show no text that may quote personal data."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger
from prefect.context import FlowRunContext

from settings import ROOT

# Their messages are written here, or made without values: SQLAlchemy's by models/database.py.
_OWN = ("rules", "models", "credly", "reports", "tasks", "settings", "sqlalchemy")


class UnexpectedError(Exception):
    """An error that Laurel did not raise itself. Its class and place are kept, and its message is not."""


@contextmanager
def without_foreign_messages() -> Iterator[None]:
    """Replace errors that Laurel did not raise itself by `UnexpectedError`. Does nothing outside a flow run."""
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package == "prefect" or FlowRunContext.get() is None:
            raise
        if package in _OWN:
            raise error from None  # without what it was raised from
        raise UnexpectedError(_described(error)).with_traceback(error.__traceback__) from None


@contextmanager
def only_warned(what: str) -> Iterator[None]:
    """Log the class of an error of what a run can do without, and go on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, a later run repeats what was left
        get_run_logger().warning("%s (%s).", what, type(error).__name__)


def _described(error: Exception) -> str:
    kind = type(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(ROOT)]
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    place = f"{Path(own[-1].filename).relative_to(ROOT)}, line {own[-1].lineno}" if own else "an unknown place"
    return (
        f"{kind.__module__}.{kind.__qualname__} in {place}. Its message may quote personal data and is not kept; "
        "`python -m flows.check` on the worker's machine lists values of the platform that cannot be read."
    )
