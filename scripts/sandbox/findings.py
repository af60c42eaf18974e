"""What a question is, and what its answer can be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from scripts.sandbox.calls import Sandbox


class Verdict(StrEnum):
    """How what was seen compares with what Laurel and the stand-in assume."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    NOT_SEEN = "not seen"


class NotSeen(Exception):
    """Why a question stays open; the text goes into the report."""


@dataclass(frozen=True)
class Seen:
    """What a probe saw. Neither text nor details hold a token, an address or a name."""

    as_expected: bool
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """One question with a code of its own. `number` is its place among the ten questions before going live, if any."""

    code: str
    number: int | None
    asks: str
    expects: str
    run: Callable[[Sandbox], Seen] = field(repr=False)


@dataclass(frozen=True)
class Finding:
    code: str
    number: int | None
    asks: str
    expected: str
    verdict: Verdict
    seen: str
    details: Mapping[str, Any] = field(default_factory=dict)


def probe(
    code: str, *, asks: str, expects: str, number: int | None = None
) -> Callable[[Callable[[Sandbox], Seen]], Probe]:
    """Make a function the probe of a question."""

    def made(run: Callable[[Sandbox], Seen]) -> Probe:
        return Probe(code=code, number=number, asks=asks, expects=expects, run=run)

    return made


def answered(question: Probe, box: Sandbox) -> Finding:
    """Put the question and return its answer; whatever goes wrong on the way leaves it open."""
    try:
        seen = question.run(box)
    except NotSeen as reason:
        return left_open(question, str(reason))
    except Exception as error:  # noqa: BLE001 - one question must not keep the others from being put
        # The class alone: the text may hold an address.
        return left_open(question, f"the probe ended in {type(error).__name__}")
    verdict = Verdict.CONFIRMED if seen.as_expected else Verdict.DIFFERS
    return _finding(question, verdict, seen.text, seen.details)


def left_open(question: Probe, why: str) -> Finding:
    return _finding(question, Verdict.NOT_SEEN, why, {})


def _finding(question: Probe, verdict: Verdict, seen: str, details: Mapping[str, Any]) -> Finding:
    return Finding(question.code, question.number, question.asks, question.expects, verdict, seen, details)
