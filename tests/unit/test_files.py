"""Files are whole or not there, and their names are safe."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.files import folder_of, part_of_name, path_within, whole_file
from rules.forms.inputs import InvalidInput
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


def test_only_the_owner_reads_files_and_folders(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with whole_file(tmp_path / "folder" / "file"):
            pass
    finally:
        os.umask(before)

    assert (modes(tmp_path), modes(tmp_path / "folder")) == ({"folder": 0o700}, {"file": 0o600})


@pytest.mark.parametrize("typed", ["", " ", "a/b", "a/../b", "."])
def test_a_path_in_the_folder_is_taken(tmp_path: Path, typed: str) -> None:
    assert path_within(typed, tmp_path, field="folder") == (tmp_path / typed.strip()).resolve()


@pytest.mark.parametrize("typed", ["..", "/", "a/../../b", "link", "link/x", "a\0b", "~nobody-here"])
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, typed: str) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(tmp_path)

    with pytest.raises(InvalidInput, match=f"^folder: give a path in `{top}` on the machine of the worker"):
        path_within(typed, top, field="folder")


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
