"""A run's counts as text: how the run of one organization tells them to the run that started it, on another machine."""

from collections import Counter

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from rules.details import Details, Named, SlowCall
from rules.reasons import Reason
from rules.states import IssuanceState
from rules.tally import Counts, Tally


@dataclass(frozen=True)
class _Portable:
    done: list[tuple[IssuanceState, Reason | None, int]]
    open: list[tuple[IssuanceState, Reason | None, int]]
    adopted: int
    stopped: Reason | None
    cells: list[tuple[str, str, IssuanceState, int]]
    named: list[tuple[IssuanceState, Reason, list[Named]]]
    slowest: list[SlowCall]


_PORTABLE = TypeAdapter(_Portable)


def packed(tally: Tally) -> str:
    """Return a tally as JSON."""
    details = tally.details
    return _PORTABLE.dump_json(
        _Portable(
            done=[(*key, count) for key, count in tally.done.items()],
            open=[(*key, count) for key, count in tally.open.items()],
            adopted=tally.adopted,
            stopped=tally.stopped,
            cells=[(*cell, count) for cell, count in details.cells.items()],
            named=[(*key, names) for key, names in details.named.items()],
            slowest=details.slowest,
        )
    ).decode()


def unpacked(text: str) -> Tally:
    """Return the tally that was packed.

    Raises:
        ValidationError: another version of Laurel has packed it in another way.
    """
    found = _PORTABLE.validate_json(text)
    details = Details(
        cells=Counter({(portal, achievement, state): count for portal, achievement, state, count in found.cells}),
        named={(state, reason): names for state, reason, names in found.named},
        slowest=found.slowest,
    )
    return Tally(
        done=_counts(found.done),
        open=_counts(found.open),
        adopted=found.adopted,
        details=details,
        stopped=found.stopped,
    )


def _counts(rows: list[tuple[IssuanceState, Reason | None, int]]) -> Counts:
    return Counter({(state, reason): count for state, reason, count in rows})
