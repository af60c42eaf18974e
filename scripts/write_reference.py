"""Writes the generated pages and parts of the documents from the code: `python -m scripts.write_reference`."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from rules.badge.evidence import LeftOut
from rules.ledger.reasons import BLOCKED_REASONS, CANCELLED_REASONS, FAILED_REASONS, AwardFault, Reason
from rules.ledger.states import IssuanceState, Origin
from rules.ledger.transitions import RULES, Transition, legal_moves
from rules.markdown import row
from scripts.data_dictionary import data_dictionary_page
from settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "reference"
_HEAD = ("reason", "what it means", "what to do")
_GENERATED = "<!-- Written by `python -m scripts.write_reference`; a test holds that it is current. -->"


_OF_WORKERS = """\
Two more are read by the command that `prefect.yaml` gives to workers, so only from the environment in which a worker
starts, and not from `.env`: `LAUREL_ROOT`, the folder of the checkout, which must be set; and `LAUREL_PYTHON`, the
Python that runs the flows, by default `$LAUREL_ROOT/.venv/bin/python`. `make start`, the units and the image set what
they need."""


def reasons_page() -> str:
    pending = set(Reason) - BLOCKED_REASONS - CANCELLED_REASONS - FAILED_REASONS
    parts = [
        "# States and reasons",
        _GENERATED,
        _table(("state", "what it means"), ((f"`{s}`", s.sentence) for s in IssuanceState)),
        *_section("Blocked: issued automatically once the cause is gone", BLOCKED_REASONS),
        *_section("Failed: an operator must act", FAILED_REASONS),
        *_section("Pending: not yet, or tried and to be tried again", pending),
        *_section("Cancelled", CANCELLED_REASONS),
        "## Awards that cannot be entered",
        "The ledger has no row of them. The run that reads one counts it in its message and names it on its page;\n"
        "*check* reports it each night.",
        _table(_HEAD, ((f"`{f}`", f.sentence, f.advice) for f in AwardFault)),
        "## What asked for an issuance",
        _table(("origin", "what it means"), ((f"`{o}`", o.sentence) for o in Origin)),
        "## Evidence that is left out",
        "The badge is issued without it; the ledger keeps `kind:why` in `evidence_left_out`.",
        _table(("why", "what it means"), ((f"`{w}`", w.sentence) for w in LeftOut)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, reasons: set[Reason] | frozenset[Reason]) -> list[str]:
    return [f"## {title}", _table(_HEAD, ((f"`{r}`", r.sentence, r.advice) for r in Reason if r in reasons))]


def settings_page() -> str:
    rows = [
        (f"`LAUREL_{name.upper()}`", field.description or "", _default(name, field.default))
        for name, field in Settings.model_fields.items()
    ]
    table = _table(("variable", "what it sets", "default"), rows)
    intro = "Environment variables, or lines of a `.env` file in the checkout. Durations are in seconds."
    return "\n\n".join(["# Settings", _GENERATED, intro, table, _OF_WORKERS]) + "\n"


def _default(name: str, value: object) -> str:
    if name == "database_url":
        return "`.laurel/laurel.db` in the checkout"
    if isinstance(value, timedelta):
        return f"`{value.total_seconds():g}`"
    return f"`{value}`"


def states_table() -> str:
    """Return the states, with the transitions that lead out of each."""
    rows = []
    for state in IssuanceState:
        leaving = [f"`{name}`" for name, rule in RULES.items() if any(_leaves(state, move) for move in rule.moves())]
        rows.append((f"`{state}`", state.sentence, ", ".join(leaving)))
    return _table(("state", "what it means", "leaves it by"), rows)


def _leaves(state: IssuanceState, move: tuple[IssuanceState | None, IssuanceState]) -> bool:
    return move[0] is state and move[1] is not state


def transitions_part() -> str:
    """Return the diagram of the transitions, and the table that says when each happens."""
    lines = [
        f"    {source or '[*]'} --> {target}: {', '.join(name for name in RULES if name in transitions)}"
        for (source, target), transitions in legal_moves().items()
        if source is not target
    ]
    diagram = "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])
    rows = [
        (
            f"`{name}`",
            _states(("new",) * rule.enters + rule.sources),
            _states(rule.targets) or "the same",
            rule.sentence,
            rule.by,
        )
        for name, rule in RULES.items()
        if name is not Transition.UNKNOWN
    ]
    unknown = Transition.UNKNOWN
    rows.append((f"`{unknown}`", "any", "any", unknown.rule.sentence, unknown.rule.by))
    return f"{diagram}\n\n{_table(('transition', 'from', 'to', 'when', 'by'), rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # A bar begins another cell, in code as well.
    lines = [row(*(cell.replace("|", r"\|") for cell in cells)) for cells in rows]
    return "\n".join([row(*head), f"|{'---|' * len(head)}", *lines])


def _states(states: Iterable[str]) -> str:
    return ", ".join(states)


def with_part(text: str, name: str, part: str) -> str:
    """Return the text with what is between the part's marks replaced."""
    begin, end = f"<!-- {name}: written by `python -m scripts.write_reference` -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{part}{end}{after}"


PARTS = {"README.md": ("states", states_table), "docs/explanation/architecture.md": ("transitions", transitions_part)}
PAGES = {"reasons.md": reasons_page, "settings.md": settings_page, "data-dictionary.md": data_dictionary_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
    for name, (title, part) in PARTS.items():
        file = ROOT / name
        file.write_text(with_part(file.read_text(encoding="utf-8"), title, part()), encoding="utf-8")
