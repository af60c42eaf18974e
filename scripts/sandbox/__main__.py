"""Puts the open questions about Credly's API to its sandbox: `make sandbox`.

It runs the contract tests there, makes small trials with badges of its own to invented people at example.org, ends
every one of these badges, and writes a report. Where to, and with what: the variables LAUREL_SANDBOX_* of
tests/contract/README.md. Exit code 0: nothing differs from what Laurel and the stand-in assume.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

from scripts.sandbox.calls import Sandbox
from scripts.sandbox.clean_up import CleanUp, clean_up
from scripts.sandbox.contract import contract_tests
from scripts.sandbox.findings import Finding, Probe, answered, left_open
from scripts.sandbox.questions import badges, client, errors, lists
from scripts.sandbox.report import Outcome, write
from scripts.sandbox.target import Unusable, target_in
from settings import ROOT, settings

PROBES: tuple[Probe, ...] = (
    contract_tests,
    client.client,
    *badges.PROBES,
    *lists.PROBES,
    *errors.ERRORS,
    *errors.LAST,
)
_ENDING = (signal.SIGINT, signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    """Put the questions, clean up, write the report, and return the exit code."""
    options = _options(arguments)
    try:
        box = Sandbox(target_in(os.environ), grace=settings().lookup_grace.total_seconds())
    except Unusable as problem:
        print(problem, file=sys.stderr)
        return 1
    chosen = [each for each in PROBES if each.code in (options.only or [each.code])]
    try:
        _check_access(box)
        outcome = _run(box, chosen)
        write(outcome, box, options.report)
    except Unusable as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        box.close()
    print(f"The report: {options.report}")
    return outcome.exit_code


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts.sandbox", description="Questions to Credly's sandbox.")
    codes = [each.code for each in PROBES]
    parser.add_argument("--only", nargs="+", choices=codes, metavar="CODE", help=f"of {', '.join(codes)}")
    parser.add_argument("--report", type=Path, default=ROOT / ".laurel" / "sandbox-report.md", help="where to write it")
    return parser.parse_args(arguments)


def _check_access(box: Sandbox) -> None:
    try:
        reply = box.get()
    except httpx.HTTPError as error:
        raise Unusable(f"The sandbox could not be reached: {type(error).__name__}.") from None
    if reply.status_code != 200:
        raise Unusable(
            f"The sandbox answered {reply.status_code} to the call for the organization: compare LAUREL_SANDBOX_TOKEN "
            "and LAUREL_SANDBOX_ORGANIZATION with its pages."
        )


def _run(box: Sandbox, chosen: Sequence[Probe]) -> Outcome:
    found: list[Finding] = []
    cleaned = CleanUp()
    interrupted = False
    with _endings_held() as hold:
        try:
            for each in chosen:
                found.append(_put(each, box))
        except KeyboardInterrupt:
            interrupted = True
            found += [left_open(each, "the run was interrupted") for each in chosen[len(found) :]]
        finally:
            hold()
            print("Cleaning up ...", flush=True)
            cleaned = clean_up(box)
    return Outcome(found, cleaned, interrupted)


def _put(question: Probe, box: Sandbox) -> Finding:
    print(f"{question.code} ...", flush=True)
    finding = answered(question, box)
    print(f"  {finding.verdict}: {finding.seen}", flush=True)
    return finding


@contextmanager
def _endings_held() -> Iterator["_Hold"]:
    """Turn the first Ctrl-C or SIGTERM into KeyboardInterrupt; further ones cannot end the clean-up."""
    hold = _Hold()
    before = {each: signal.signal(each, hold.end) for each in _ENDING}
    try:
        yield hold
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _Hold:
    """Whether an end may still interrupt what is going on."""

    def __init__(self) -> None:
        self._held = False

    def __call__(self) -> None:
        self._held = True

    def end(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._held:
            self._held = True
            raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
