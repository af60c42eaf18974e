"""What a run found, as Markdown for people and as JSON beside it."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.sandbox.calls import Sandbox
from scripts.sandbox.clean_up import CleanUp
from scripts.sandbox.findings import Finding, Verdict

_ADDRESS = re.compile(r"[^\s@\"'<>|]+@[^\s@\"'<>|]+")
_SHOWN = ("status", "call", "content_type", "shape", "request_id")


@dataclass(frozen=True)
class Outcome:
    findings: Sequence[Finding]
    cleaned: CleanUp
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 where nothing differs and nothing is left standing."""
        differs = any(each.verdict is Verdict.DIFFERS for each in self.findings)
        return int(differs or self.interrupted or bool(self.cleaned.standing))


def write(outcome: Outcome, box: Sandbox, path: Path) -> None:
    """Write both files; what must not be shown is taken out of the whole text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = json.dumps(_as_json(outcome, box), indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(_clean(machine, box) + "\n", encoding="utf-8")
    path.write_text(_clean("\n".join(_lines(outcome, box)), box) + "\n", encoding="utf-8")


def _clean(text: str, box: Sandbox) -> str:
    for secret in box.target.secrets:
        text = text.replace(secret, "…")
    return _ADDRESS.sub("…", text)


def _as_json(outcome: Outcome, box: Sandbox) -> dict[str, Any]:
    return {
        "host": urlsplit(box.target.url).netloc,
        "stand_in": box.is_standin,
        "began": box.began.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "interrupted": outcome.interrupted,
        "findings": [asdict(each) for each in outcome.findings],
        "errors": _distinct(box.errors),
        "clean_up": asdict(outcome.cleaned) | {"without_answer": len(box.unsure)},
        "exit_code": outcome.exit_code,
    }


def _distinct(errors: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each form of error answer once, with the first one's X-Request-Id and the number of times it came."""
    found: dict[str, dict[str, Any]] = {}
    for each in errors:
        key = json.dumps([each[name] for name in _SHOWN[:-1]])
        found.setdefault(key, each | {"times": 0})["times"] += 1
    return sorted(found.values(), key=lambda each: (each["status"], each["call"]))


def _lines(outcome: Outcome, box: Sandbox) -> Iterator[str]:
    where = f"`{urlsplit(box.target.url).netloc}`"
    counts = Counter(each.verdict for each in outcome.findings)
    yield "# What the sandbox answered"
    yield ""
    yield f"{where}, begun {box.began:%Y-%m-%d %H:%M} UTC. " + ", ".join(f"{counts[v]} {v}" for v in Verdict) + "."
    if box.is_standin:
        yield "**These are answers of the stand-in, not of Credly.**"
    if outcome.interrupted:
        yield "**The run was interrupted.**"
    yield ""
    yield from _questions(outcome.findings)
    yield from _contract(outcome.findings)
    yield from _errors(box)
    yield from _cleaned(outcome.cleaned, box)


def _questions(findings: Sequence[Finding]) -> Iterator[str]:
    yield "## Questions"
    yield ""
    yield "The number is that of the ten questions before going live (docs/reference/credly-api.md)."
    yield ""
    yield "| no. | code | question | outcome | expected | seen |"
    yield "|---|---|---|---|---|---|"
    for each in sorted(findings, key=lambda one: (one.number is None, one.number or 0)):
        cells = (each.number or "", f"`{each.code}`", each.asks, f"*{each.verdict}*", each.expected, each.seen)
        yield f"| {' | '.join(_cell(one) for one in cells)} |"
    yield ""


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _contract(findings: Sequence[Finding]) -> Iterator[str]:
    failed = [name for each in findings for name in each.details.get("failed", ())]
    if failed:
        yield "## Contract tests that failed"
        yield ""
        yield from (f"- `{name}`" for name in failed)
        yield ""


def _errors(box: Sandbox) -> Iterator[str]:
    yield "## Error answers"
    yield ""
    yield "Names of fields with types in place of values. The X-Request-Id is that of the first such answer."
    yield ""
    yield f"| {' | '.join(_SHOWN)} | times |"
    yield f"|{'---|' * (len(_SHOWN) + 1)}"
    for each in _distinct(box.errors):
        cells = [each["status"], each["call"], each["content_type"], f"`{json.dumps(each['shape'])}`"]
        yield f"| {' | '.join(_cell(one) for one in [*cells, each['request_id'] or 'none', each['times']])} |"
    yield ""


def _cleaned(cleaned: CleanUp, box: Sandbox) -> Iterator[str]:
    yield "## Clean-up"
    yield ""
    yield f"{len(cleaned.ended)} badges of this run were revoked, replaced or deleted."
    if cleaned.standing:
        yield f"**Still standing, to be revoked by hand:** {', '.join(cleaned.standing)}."
    if box.unsure:
        yield f"{len(box.unsure)} requests ended without an answer, and no badge of theirs was listed."
