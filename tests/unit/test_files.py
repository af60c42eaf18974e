"""Files are whole or not there, and their names are safe."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.files import folder_of, part_of_name, whole_file
from settings import ROOT


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def test_a_file_is_in_its_place_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.csv"

    with whole_file(target) as unfinished:
        unfinished.write_text("whole")
        assert not target.exists()
        assert modes(target.parent) == {unfinished.name: 0o600}

    assert target.read_text() == "whole"
    assert len(modes(target.parent)) == 1


def test_what_is_not_completed_leaves_the_file_before(tmp_path: Path) -> None:
    target = tmp_path / "file.csv"
    target.write_text("before")

    with pytest.raises(ZeroDivisionError), whole_file(target) as unfinished:
        unfinished.write_text(f"half {1 / 0}")

    assert [file.name for file in tmp_path.iterdir()] == ["file.csv"]
    assert target.read_text() == "before"


@pytest.mark.parametrize("owner_only", [True, False])
def test_only_the_owner_reads_what_is_for_the_owner(tmp_path: Path, owner_only: bool) -> None:
    (tmp_path / "plain").touch()

    with whole_file(tmp_path / "file", owner_only=owner_only):
        pass

    assert modes(tmp_path)["file"] == (0o600 if owner_only else modes(tmp_path)["plain"])


@given(st.text())
def test_any_text_becomes_a_part_of_a_name(text: str) -> None:
    name = part_of_name(text)

    assert set(name) & set("/\\\0 ") == set()
    assert len(name) <= 70


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_texts_have_different_names(one: str, other: str) -> None:
    assert (part_of_name(one) == part_of_name(other)) == (one == other)


def test_a_relative_folder_is_in_the_checkout(tmp_path: Path) -> None:
    assert folder_of(" ", default=Path(".laurel/reports")) == ROOT / ".laurel/reports"
    assert folder_of("out", default=Path("x")) == ROOT / "out"
    assert folder_of(str(tmp_path), default=Path("x")) == tmp_path
