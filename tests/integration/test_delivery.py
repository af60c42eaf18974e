"""Files are moved to any address of fsspec, whole; one that cannot be delivered stays where it was written."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from reports.delivery import Place, deliver
from rules.forms.inputs import InvalidInput
from settings import NotConfigured, Settings, settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "reports" / "november" / "a file.csv"
    path.parent.mkdir(parents=True)
    path.write_text("rows\n")
    return path


@pytest.fixture
def _only_the_owner() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def settings_with(tmp_path: Path, **values: str) -> Settings:
    return Settings(reports_folder=tmp_path / "reports", **values)  # type: ignore[arg-type]


def test_without_a_target_a_file_stays_and_is_linked_where_a_browser_reaches_it(tmp_path: Path, file: Path) -> None:
    place = deliver(file, settings_with(tmp_path, reports_link="https://files.example.org/laurel/"))

    assert place.link == "https://files.example.org/laurel/november/a%20file.csv"
    assert str(file) in place.words
    assert file.read_text() == "rows\n"


@pytest.mark.usefixtures("_only_the_owner")
def test_a_share_has_the_file_and_whoever_may_enter_its_folder_can_read_it(tmp_path: Path, file: Path) -> None:
    share = tmp_path / "share"
    (share / "laurel/november").mkdir(parents=True)
    (share / "laurel/november/a file.csv").write_text("an earlier one")
    (share / "laurel").chmod(0o750)

    place = deliver(file, settings_with(tmp_path, reports_target=f"file://{share}/laurel"))
    deliver_again = share / "laurel/november"

    assert place == Place(words=f"`file://{share}/laurel/november/a file.csv`")
    assert [each.name for each in deliver_again.iterdir()] == ["a file.csv"]
    assert (deliver_again / "a file.csv").read_text() == "rows\n"
    assert (deliver_again / "a file.csv").stat().st_mode & 0o777 == 0o644
    assert (share / "laurel").stat().st_mode & 0o777 == 0o750
    assert not file.exists()


@pytest.mark.usefixtures("_only_the_owner")
def test_a_folder_that_is_made_can_be_entered(tmp_path: Path, file: Path) -> None:
    (tmp_path / "share").mkdir(mode=0o755)

    deliver(file, settings_with(tmp_path, reports_target=f"file://{tmp_path}/share"))

    assert (tmp_path / "share/november").stat().st_mode & 0o777 == 0o755


def test_a_bucket_has_the_file_and_nothing_unfinished(tmp_path: Path, file: Path) -> None:
    target = settings_with(tmp_path, reports_target="memory://bucket/laurel", reports_link="https://files.example.org")

    place = deliver(file, target)
    file.write_text("later rows\n")
    deliver(file, target)

    assert place == Place(
        words="`memory://bucket/laurel/november/a file.csv`", link="https://files.example.org/november/a%20file.csv"
    )
    assert MemoryFileSystem().find("/bucket") == ["/bucket/laurel/november/a file.csv"]
    assert MemoryFileSystem().cat("/bucket/laurel/november/a file.csv") == b"later rows\n"
    assert not file.exists()


def test_personal_data_stays_on_the_machine_without_a_link(tmp_path: Path, file: Path) -> None:
    target = settings_with(
        tmp_path, reports_target=f"file://{tmp_path}/share", reports_link="https://files.example.org"
    )

    place = deliver(file, target, personal=True)

    assert place.link is None
    assert file.exists()
    assert not (tmp_path / "share").exists()


@pytest.mark.parametrize("target", ["s3n-unknown://bucket/laurel", "file:///proc/laurel"])
def test_a_target_that_cannot_be_written_to_is_one_sentence_and_the_file_is_kept(
    tmp_path: Path, file: Path, target: str
) -> None:
    with pytest.raises(InvalidInput, match=r"^LAUREL_REPORTS_TARGET: nothing could be written to `") as refused:
        deliver(file, settings_with(tmp_path, reports_target=target))

    assert str(file) in str(refused.value)
    assert file.read_text() == "rows\n"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REPORTS_TARGET", "ftp://laurel:secret@files.example.org/x", "it must hold no password"),
        ("REPORTS_TARGET", "/mnt/reports", "an address of fsspec, such as file:///mnt/reports"),
        ("REPORTS_LINK", "javascript:alert(1)", "such as https://files.example.org/laurel"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"LAUREL_{name}", value)
    settings.cache_clear()

    with pytest.raises(NotConfigured, match=f"LAUREL_{name}.*{words}") as refused:
        settings()

    settings.cache_clear()
    assert "secret" not in str(refused.value)
