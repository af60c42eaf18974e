"""The documents: what they promise is held by tests that exist, links lead somewhere, and pages stay readable."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import ROOT
from tests.support.documents import anchors

TESTS = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").glob("*.md")])
CODE = re.compile(r"^```.*?^```|<!-- (\w+): written by .*?<!-- end of \1 -->", re.DOTALL | re.MULTILINE)
WRITTEN_FROM_CODE = "<!-- Written by `python -m scripts.write_reference`"

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))


@pytest.mark.parametrize("document", ["docs/explanation/reliability.md", "SECURITY.md"])
def test_every_test_that_a_document_names_exists(document: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / document).read_text(encoding="utf-8")))

    assert len(named) > 5
    assert [name for name in sorted(named) if f"def {name}(" not in TESTS] == []


@every_document
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))

    assert [link for link in links if "://" not in link and not _exists(document, link)] == []


@every_document
def test_every_file_that_is_named_exists(document: Path) -> None:
    folders = r"(?:automations|credly|demo|docs|flows|migrations|models|reports|rules|scripts|tasks|tests)"
    named = re.findall(rf"`?\b({folders}/[\w./-]+\.(?:py|md|sql))\b", document.read_text(encoding="utf-8"))

    assert [name for name in named if not (ROOT / name).exists()] == []


@every_document
def test_no_line_is_too_long_to_read_beside_code(document: Path) -> None:
    long = [line for line in _prose(document) if len(line) > 120 and not line.lstrip().startswith("|")]

    assert [line for line in long if not line.startswith("    ")] == []


@every_document
def test_a_cell_of_a_table_has_at_most_25_words(document: Path) -> None:
    if WRITTEN_FROM_CODE in document.read_text(encoding="utf-8"):
        pytest.skip("its sentences are those of the code")
    rows = [line.strip() for line in _prose(document) if line.lstrip().startswith("|")]
    cells = [cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row)]

    assert [cell for cell in cells if len(cell.split()) > 25] == []


def test_the_readme_is_short_and_begins_with_a_command() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) < 120
    assert any(line.startswith("    make ") for line in lines[:25])


def _exists(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    file = document.parent / path if path else document
    return file.exists() and (not anchor or anchor in anchors(file))


def _prose(document: Path) -> Iterator[str]:
    yield from CODE.sub("", document.read_text(encoding="utf-8")).splitlines()
