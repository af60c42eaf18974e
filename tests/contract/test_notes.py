"""The notes on Credly's API agree with the tests that hold them, and with the docstrings that refer to them."""

import re
from pathlib import Path

from settings import ROOT

NOTES = (ROOT / "docs" / "reference" / "credly-api.md").read_text(encoding="utf-8")
PRODUCT = [file for name in ("flows", "tasks", "rules", "models", "credly") for file in (ROOT / name).rglob("*.py")]


def test_every_test_that_the_notes_name_exists() -> None:
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "contract").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", NOTES))

    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_every_file_that_the_notes_name_exists() -> None:
    assert [name for name in re.findall(r"`(tests/[\w/.]+)`", NOTES) if not (ROOT / name).exists()] == []


def test_every_section_that_code_names_exists() -> None:
    sections = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)", NOTES, re.MULTILINE))
    references = [
        (file.name, number)
        for file in PRODUCT
        for text in re.findall(_pattern(file), file.read_text(encoding="utf-8"))
        for number in re.findall(r"\d+(?:\.\d+)?", text)
    ]

    assert len(references) > 40
    assert [(name, number) for name, number in references if number not in sections] == []


def _pattern(file: Path) -> str:
    """In the stand-in a bare number in brackets names a section."""
    number = r"[1-9]\d?(?:\.\d{1,2})?"
    written_out = rf"sections? {number}(?:(?:,| and) {number})*"
    return rf"{written_out}|\({number}(?:, {number})*\)[.,:\" ]" if "standin" in file.parts else written_out
