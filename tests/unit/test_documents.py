"""The documents: what they promise is held by tests that exist, links lead somewhere, and pages stay readable."""

import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rules.monitoring.alerts import AlertKind
from settings import ROOT, Settings
from tests.support.documents import anchors

TESTS = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
_PLACES = ("*.md", "docs/**/*.md", "deploy/*.md", "bench/*.md", "credly/standin/*.md", "tests/contract/*.md")
DOCUMENTS = sorted(file for place in _PLACES for file in ROOT.glob(place))
CODE = re.compile(r"^```.*?^```|<!-- (\w+): written by .*?<!-- end of \1 -->", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
BAR = re.compile(r"(?<!\\)\|")
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


def test_every_document_in_git_is_among_those_that_are_checked() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert set(listed.splitlines()) <= {str(file.relative_to(ROOT)) for file in DOCUMENTS}


def test_each_decision_has_a_number_of_its_own_in_its_name_heading_and_links() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(file.name[:4]) for file in files]
    links = [
        (int(named), int(linked))
        for document in DOCUMENTS
        for named, linked in re.findall(
            r"\[decision\s+(\d+)\]\(\S*decisions/(\d+)-", document.read_text(encoding="utf-8")
        )
    ]

    assert numbers == list(range(1, len(files) + 1))
    assert [
        file.name for file in files if not file.read_text(encoding="utf-8").startswith(f"# {int(file.name[:4])}. ")
    ] == []
    assert len(links) > 5
    assert [each for each in links if each[0] != each[1]] == []


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
def test_each_row_of_a_table_has_as_many_cells_as_its_head(document: Path) -> None:
    head, wrong = 0, []
    for line in FENCED.sub("", document.read_text(encoding="utf-8")).splitlines():
        bars = len(BAR.findall(line)) if line.lstrip().startswith("|") else 0
        if bars and head not in (0, bars):
            wrong.append(line)
        head = bars and (head or bars)

    assert wrong == []


@every_document
def test_a_cell_of_a_table_has_at_most_25_words(document: Path) -> None:
    if WRITTEN_FROM_CODE in document.read_text(encoding="utf-8"):
        pytest.skip("its sentences are those of the code")
    rows = [line.strip() for line in _prose(document) if line.lstrip().startswith("|")]
    cells = [cell.strip() for row in rows for cell in BAR.split(row)]

    assert [cell for cell in cells if len(cell.split()) > 25] == []


def test_the_readme_is_short_and_begins_with_a_command() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) < 120
    assert any(line.startswith("    make ") for line in lines[:25])


def test_each_alert_is_in_the_how_to_under_its_own_headings() -> None:
    page = (ROOT / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")
    headings = [heading for kind in AlertKind for heading in (kind.heading, kind.resolved_heading)]

    assert [heading for heading in headings if heading not in page] == []


def test_each_part_of_a_page_that_the_run_history_names_is_on_a_page() -> None:
    text = (ROOT / "docs" / "how-to" / "run-history.md").read_text(encoding="utf-8")
    named = re.findall(r"\*((?:What|Not issued)[^*]+)\*", text)
    code = "".join(
        file.read_text(encoding="utf-8") for top in ("rules", "tasks") for file in (ROOT / top).rglob("*.py")
    )

    assert len(named) > 3
    assert [name for name in named if name not in code] == []


def test_a_default_that_prose_repeats_is_that_of_the_settings() -> None:
    stated = [each for document in DOCUMENTS for each in _stated_defaults(" ".join(_prose(document)))]
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    defaults |= {name: timedelta(days=defaults[name]) for name in ("KEEP_RUNS",)}

    assert len(stated) > 8
    assert stated == [(name, defaults[name]) for name, _ in stated]


_NUMBERS = {"three": 3, "four": 4, "five": 5, "ten": 10}
_UNITS = {"seconds": 1, "minutes": 60, "days": 86_400}
_SPAN = rf"(?P<number>\d+|{'|'.join(_NUMBERS)}) (?P<unit>{'|'.join(_UNITS)})"
_STATED = (
    rf"{_SPAN} \(`LAUREL_(?P<name>\w+)`\)",
    rf"`LAUREL_(?P<name>\w+)`(?:,| \() ?{_SPAN}",
    r"`LAUREL_(?P<name>\w+)`(?: organizations)? \((?P<number>[\d \u00a0]+)\)",
)


def _stated_defaults(text: str) -> Iterator[tuple[str, object]]:
    for each in (found for pattern in _STATED for found in re.finditer(pattern, text)):
        parts = each.groupdict()
        number = _NUMBERS.get(parts["number"]) or int(re.sub(r"\D", "", parts["number"]))
        yield parts["name"], timedelta(seconds=number * _UNITS[parts["unit"]]) if "unit" in parts else number


def _exists(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    file = document.parent / path if path else document
    return file.exists() and (not anchor or anchor in anchors(file))


def _prose(document: Path) -> Iterator[str]:
    yield from CODE.sub("", document.read_text(encoding="utf-8")).splitlines()
