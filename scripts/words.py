"""Checks that code and documents use the field's words: `python -m scripts.words [FOLDER…]`, part of `make check`.

The words below were a private idiom of this project, or are British spellings. Each has the words to use instead.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTEAD = {
    r"told|tells?|telling": "report, say, message, result",
    r"owed|owes?": "eligible, due",
    r"mend(s|ed|ing)?|mendable": "fix, correct, resolve",
    r"anew": "again",
    r"wish(es)?": "request, form, settings",
    r"lack(s|ed|ing)?": "missing, without",
    r"(a|the) person|people's|persons?'": "operator, user, administrator",
    r"taken? up again|takes? up again|took up again": "revive, requeue",
    r"knows? of": "has, reads",
    r"for good": "permanently",
    r"next but one": "say what comes before it",
    r"without a word": "say that there is no message",
    r"recognis(e|es|ed|ing)": "recognize",
    r"analys(e|ed|ing)": "analyze",
    r"behaviours?": "behavior",
    r"colours?": "color",
    r"learnt": "learned, read, noticed",
    # Of software; an operator or a caller may know something.
    r"(laurel|prefect|credly|excel|database|ledger|server|driver|planner)( does not)? (know|believe|forget)s?": (
        "has, keeps, reads"
    ),
}
_NOT = (
    "scripts/words.py",
    "tests/",
    # A table that workers of an earlier version write has a column `told`; the next release drops it.
    "migrations/versions/0003_what_processes_share.py",
    "models/operations/run_parts.py",
)
_WHERE = ("*.py", "*.md", "*.yaml")


def found(folders: list[str]) -> list[str]:
    """Return each line with such a word, with the words to use."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *_WHERE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    files = [
        each
        for each in listed
        if (ROOT / each).is_file() and not each.startswith(_NOT) and each.startswith(tuple(folders or [""]))
    ]
    return [
        f"{file}:{number}: {match[0]!r} ({INSTEAD[pattern]}): {line.strip()}"
        for file in files
        for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), start=1)
        for pattern in INSTEAD
        if (match := re.search(rf"(?<![A-Za-z])({pattern})(?![A-Za-z])", line, re.IGNORECASE))
    ]


def main() -> int:
    lines = found(sys.argv[1:])
    print("\n".join([*lines, f"{len(lines)} lines with words of the old idiom"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
