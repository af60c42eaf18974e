"""Users, achievements and awards from CSV files: each row by itself, and nothing of a person in the report."""

from pathlib import Path

import pytest

from models.database import Database
from models.import_csv import NotOurs, import_folder, main
from models.platform import Achievement, AchievementAward, User, UserEmail
from settings import settings
from tests.support.factories import rows_of

GOOD = {
    "portals.csv": "id,name,url\nnorthwind,Northwind,https://northwind.example.org\n",
    "companies.csv": "id,name\nacme,Acme\n",
    "users.csv": "\ufeffid,first_name,last_name,email\n4711,Ada,Lovelace,ada@example.org\nbob,Bob,Babbage,\n",
    "achievements.csv": "id,portal_id,name\nforklift,northwind,Forklift\n",
    "awards.csv": "achievement_id,user_id,awarded_at,company_id,withdrawn_at\n"
    "forklift,4711,2026-11-02T08:00:00+01:00,acme,\nforklift,bob,2026-11-02T08:00:00Z,,2026-11-03T00:00:00Z\n",
}


def folder_with(tmp_path: Path, **files: str) -> Path:
    for name, content in {**GOOD, **{f"{name}.csv": text for name, text in files.items()}}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


async def test_all_is_imported_and_again_changes_what_changed(empty_database: Database, tmp_path: Path) -> None:
    report = await import_folder(empty_database, folder_with(tmp_path))

    assert report.refused == []
    assert list(report.imported.values()) == [1, 1, 2, 1, 2]
    first = await rows_of(empty_database, AchievementAward)
    assert {(row.user_id, row.company_id, row.withdrawn_at is None) for row in first} == {
        ("4711", "acme", True),
        ("bob", None, False),
    }
    assert [(row.user_id, row.address) for row in await rows_of(empty_database, UserEmail)] == [
        ("4711", "ada@example.org")
    ]

    users = "id,first_name,last_name,email\n4711,Augusta,Lovelace,ada.new@example.org\n"
    await import_folder(empty_database, folder_with(tmp_path, users=users))

    assert [row.id for row in await rows_of(empty_database, AchievementAward)] == [row.id for row in first]
    assert [row.first_name for row in await rows_of(empty_database, User)] == ["Augusta", "Bob"]
    assert [row.address for row in await rows_of(empty_database, UserEmail)] == ["ada.new@example.org"]


async def test_bad_rows_are_told_by_line_and_the_good_ones_imported(empty_database: Database, tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        users="id,first_name,last_name,email\n,No,Key,secret@example.org\nbob,Bob,Babbage,bob@example.org\n",
        achievements="id,portal_id,name,colour\nforklift,northwind,Forklift,red\ncrane,nowhere,Crane\n",
        awards="achievement_id,user_id,awarded_at\nforklift,bob,2026-11-02\nboat,bob,2026-11-02T08:00:00Z,x\n",
    )

    report = await import_folder(empty_database, folder)

    assert [line.partition(":")[0] for line in report.refused] == [
        "users.csv line 2",
        "achievements.csv line 2",
        "achievements.csv line 3",
        "awards.csv line 2",
        "awards.csv line 3",
    ]
    assert "id: string should have at least 1 character" in report.refused[0]
    assert "colour: extra inputs are not permitted" in report.refused[1]
    assert "awarded_at" in report.refused[3]
    assert "secret" not in "".join(report.refused)
    assert [row.id for row in await rows_of(empty_database, User)] == ["bob"]
    assert await rows_of(empty_database, Achievement) == []


async def test_a_platforms_own_tables_are_left_alone(database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotOurs, match="which Laurel only reads"):
        await import_folder(database, folder_with(tmp_path))

    assert await rows_of(database, User) == []


def test_the_command_reports_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAUREL_DATABASE_URL", f"sqlite:///{tmp_path}/own.db")
    settings.cache_clear()
    try:
        assert main([str(tmp_path)]) == 2
        assert "There is none of portals.csv" in capsys.readouterr().err
        folder = folder_with(tmp_path, users="id\n4711\n\nx" + "x" * 64 + "\n")
        assert main([str(folder)]) == 1
    finally:
        settings.cache_clear()
    told = capsys.readouterr().out
    assert "users.csv: 1 rows" in told
    assert "not imported: users.csv line 4: id: string should have at most 64 characters" in told
