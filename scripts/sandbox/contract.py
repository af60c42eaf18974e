"""The contract tests, run against the sandbox in a process of their own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from scripts.run_tests import scrubbed_environment
from scripts.sandbox.calls import Sandbox
from scripts.sandbox.findings import NotSeen, Seen, probe
from settings import ROOT

_WAIT_FOR_END = 120
_PASSED, _FAILED = 0, 1


@probe("contract-tests", asks="Do the contract tests pass that a sandbox can show?", expects="all of them pass")
def contract_tests(box: Sandbox) -> Seen:
    """Run them, and read the outcome from pytest's own report."""
    if box.target.template is None:
        raise NotSeen("LAUREL_SANDBOX_TEMPLATE is not set: an active template that does not allow duplicates")
    with tempfile.TemporaryDirectory(prefix="laurel-sandbox-") as folder:
        report = Path(folder) / "report.xml"
        # Until pytest has ended by itself, a badge of its may be one that nobody revoked.
        box.unsure.add(contract_tests.code)
        code = _run(_environment(box, folder), report)
        if code not in (_PASSED, _FAILED):
            raise NotSeen(f"pytest ended with exit code {code}")
        box.unsure.discard(contract_tests.code)
        return _outcome(ElementTree.parse(report).getroot())  # noqa: S314 - pytest wrote it just now


def _environment(box: Sandbox, home: str) -> dict[str, str]:
    target = box.target
    return scrubbed_environment(os.environ, home) | {
        "LAUREL_SANDBOX_URL": target.url,
        "LAUREL_SANDBOX_TOKEN": target.token,
        "LAUREL_SANDBOX_ORGANIZATION": target.organization,
        "LAUREL_SANDBOX_TEMPLATE": str(target.template),
        "LAUREL_SANDBOX_CALLS_PER_SECOND": str(target.calls_per_second),
        "LAUREL_SANDBOX_MARK": box.mark,
    }


def _run(environment: Mapping[str, str], report: Path) -> int:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--tb=short", f"--junitxml={report}", "tests/contract"]
    # In a session of its own: Ctrl-C would reach it twice, and the second one would end its cleaning up.
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_WAIT_FOR_END)
        process.kill()
        raise


def _outcome(report: ElementTree.Element) -> Seen:
    cases = list(report.iter("testcase"))
    failed = {f"{case.get('classname')}::{case.get('name')}" for case in cases if _has(case, "failure", "error")}
    skipped = sum(_has(case, "skipped") for case in cases)
    passed = sum(not _has(case, "skipped", "failure", "error") for case in cases)
    text = f"{passed} passed, {len(failed)} failed, {skipped} skipped that only the stand-in can show"
    return Seen(not failed and passed > 0, text, {"failed": sorted(failed), "passed": passed, "skipped": skipped})


def _has(case: ElementTree.Element, *kinds: str) -> bool:
    return any(case.find(kind) is not None for kind in kinds)
