"""Users, achievements and awards from CSV files: each row by itself, and nothing of a person in the report."""

import tracemalloc
from pathlib import Path

import pytest

from models.database import Database
from models.import_csv import ForeignPlatform, import_folder, main
from models.platform.tables import Achievement, AchievementAward, User, UserEmail
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
        achievements="id,portal_id,name\nforklift,northwind,Forklift\ncrane,nowhere,Crane\n",
        awards="achievement_id,user_id,awarded_at,id\nforklift,bob,2026-11-02,\nboat,bob,2026-11-02T08:00:00Z,x,y\n"
        "boat,nobody,2026-11-02T08:00:00Z,\nforklift,bob,20261102,\nforklift,bob,1762070400,\nforklift,bob,,\n"
        f"forklift,bob,2026-11-02T08:00:00Z,{'x' * 256}\nforklift,bob,02.11.2026 08:00,\n"
        "forklift,bob,2026-11-02T08:00:00,\nforklift,bob,2026-11-02T08:00:00Z,\nforklift,b\0b,2026-11-02T08:00:00Z,\n"
        "forklift,bob,0001-01-01T00:00:00+14:00,\n",
    )

    report = await import_folder(empty_database, folder)

    assert [line.partition(":")[0] for line in report.refused] == [
        "users.csv line 2",
        "achievements.csv line 3",
        "awards.csv 2 rows (lines 2, 10)",
        "awards.csv line 3",
        "awards.csv 2 rows (lines 5, 6)",
        *(f"awards.csv line {number}" for number in (7, 8, 9, 12, 13, 4)),
    ]
    said = dict(line.split(": ", 1) for line in report.refused)
    assert said["users.csv line 2"] == "id: string should have at least 1 character"
    assert said["achievements.csv line 3"] == "portal_id: it is not in portals"
    assert said["awards.csv line 3"] == "it has 5 values for 4 columns"
    assert said["awards.csv line 4"] == "achievement_id: it is not in achievements; user_id: it is not in users"
    assert "2026-11-02T08:00:00+01:00" in said["awards.csv 2 rows (lines 5, 6)"].replace("t", "T")
    assert said["awards.csv line 8"] == "id: string should have at most 255 characters"
    assert "timezone" in said["awards.csv 2 rows (lines 2, 10)"]
    assert "secret" not in "".join(report.refused)
    assert [row.id for row in await rows_of(empty_database, User)] == ["bob"]
    assert [row.user_id for row in await rows_of(empty_database, AchievementAward)] == ["bob"]
    assert report.imported["awards.csv"] == 1


async def test_the_same_award_in_another_zone_is_the_same(empty_database: Database, tmp_path: Path) -> None:
    await import_folder(empty_database, folder_with(tmp_path))
    awards = (
        "achievement_id,user_id,awarded_at\nforklift,4711,2026-11-02T07:00:00Z\nforklift,4711,2026-11-02T07:00:00Z\n"
    )

    await import_folder(empty_database, folder_with(tmp_path, awards=awards))

    found = await rows_of(empty_database, AchievementAward)
    assert len(found) == 2
    assert {row.company_id for row in found} == {"acme", None}  # no column, no change


async def test_an_address_that_is_emptied_goes_and_one_without_a_column_stays(
    empty_database: Database, tmp_path: Path
) -> None:
    await import_folder(empty_database, folder_with(tmp_path))

    await import_folder(empty_database, folder_with(tmp_path, users="id,first_name\n4711,Augusta\n"))
    assert [row.address for row in await rows_of(empty_database, UserEmail)] == ["ada@example.org"]
    assert [row.last_name for row in await rows_of(empty_database, User)] == ["Lovelace", "Babbage"]

    await import_folder(empty_database, folder_with(tmp_path, users="id,email\n4711,\n"))
    assert await rows_of(empty_database, UserEmail) == []


@pytest.mark.parametrize("mark", [";", "\t"])
async def test_other_marks_between_columns_are_understood(empty_database: Database, tmp_path: Path, mark: str) -> None:
    content = GOOD["users.csv"].replace(",", mark).replace("id", "ID", 1)

    report = await import_folder(empty_database, folder_with(tmp_path, users=content))

    assert report.refused == []
    assert [row.last_name for row in await rows_of(empty_database, User)] == ["Lovelace", "Babbage"]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "its first line must name its columns, out of id, first_name"),
        (b"4711,Ada,Lovelace,ada@example.org\n", 1, "missing: id"),
        (b"id,first_name,last_name,mail\n4711,Ada,Lovelace,a@b\n", 1, "not one of them: column 4"),
        (b"id,email,email\n4711,a@b,c@d\n", 1, "one comes twice"),
        ("id,first_name\nada,Ada\nzoe,Zo\u00eb\n".encode("cp1252"), 3, "it is not in UTF-8"),
        ("id,first_name\nada,Ada\n".encode("utf-16"), 1, "it is not in UTF-8"),
    ],
)
async def test_a_file_that_cannot_be_read_is_left_out_as_a_whole(
    empty_database: Database, tmp_path: Path, content: bytes, line: int, said: str
) -> None:
    (folder_with(tmp_path, awards="achievement_id,user_id,awarded_at\n") / "users.csv").write_bytes(content)

    (refused,) = (await import_folder(empty_database, tmp_path)).refused

    assert refused.startswith(f"users.csv line {line}: nothing of the file was imported")
    assert said in refused
    assert "Ada" not in refused
    assert "4711" not in refused
    assert await rows_of(empty_database, User) == []
    assert len(await rows_of(empty_database, Achievement)) == 1


async def test_a_quotation_mark_that_is_not_closed_is_told(empty_database: Database, tmp_path: Path) -> None:
    users = 'id,first_name\nada,Ada\nbob,"Bob\n' + "carl,Carl\n" * 20_000

    report = await import_folder(empty_database, folder_with(tmp_path, users=users, awards="achievement_id,user_id\n"))

    assert "is a quotation mark not closed?" in report.refused[0]
    assert [row.id for row in await rows_of(empty_database, User)] == ["ada"]


async def test_columns_and_rows_that_excel_leaves_empty_are_not_read(empty_database: Database, tmp_path: Path) -> None:
    users = "\ufeffid;first_name;last_name;email;;\r\n4711;Ada;Lovelace;ada@example.org;;\r\nbob;Bob\r\n;;;;;\r\n"

    report = await import_folder(empty_database, folder_with(tmp_path, users=users))
    again = await import_folder(empty_database, folder_with(tmp_path, users=users + "eve;Eve;Evans;;secret;\r\n"))

    assert report.refused == []
    assert {row.id: row.last_name for row in await rows_of(empty_database, User)} == {"4711": "Lovelace", "bob": None}
    assert again.refused == ["users.csv line 5: it has 5 values for 4 columns"]


async def test_the_cause_comes_first_and_the_rows_that_it_concerns_are_summed_up(
    empty_database: Database, tmp_path: Path
) -> None:
    users = GOOD["users.csv"].replace("\ufeffid", "number", 1)
    rows = "".join(f"forklift,user-{number},2026-11-02T08:00:00Z\n" for number in range(1_000))

    report = await import_folder(
        empty_database, folder_with(tmp_path, users=users, awards=f"achievement_id,user_id,awarded_at\n{rows}")
    )

    assert report.refused == [
        "users.csv line 1: nothing of the file was imported: its first line must name its columns, out of id, "
        "first_name, last_name, email, profile_url; missing: id",
        "awards.csv 1000 rows (lines 2, 3, 4, 5, 6, …): user_id: it is not in users",
    ]


async def test_a_file_of_another_name_is_not_passed_over_in_silence(empty_database: Database, tmp_path: Path) -> None:
    (folder_with(tmp_path) / "Awards.CSV").write_text("x", encoding="utf-8")

    assert (await import_folder(empty_database, tmp_path)).refused[0].startswith("Awards.CSV: the file is none of")


async def test_many_rows_take_little_memory_and_one_bad_one_costs_no_other(
    empty_database: Database, tmp_path: Path
) -> None:
    lines = "".join(f"user-{number},{'A' * 200}\n" for number in range(5_000))
    folder = folder_with(tmp_path, users=f"id,first_name\n{lines}", awards="achievement_id,user_id,awarded_at\n")
    tracemalloc.start()

    report = await import_folder(empty_database, folder)

    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.imported["users.csv"] == 5_000
    assert most < 4_000_000, most


async def test_a_platforms_own_tables_are_left_alone(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ForeignPlatform, match="which Laurel only reads"):
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
        folder = folder_with(tmp_path, users="id\n4711\n\nx" + "x" * 255 + "\n")
        assert main([str(folder)]) == 1
    finally:
        settings.cache_clear()
    told = capsys.readouterr().out
    assert "users.csv: 1 rows" in told
    assert "not imported: users.csv line 4: id: string should have at most 255 characters" in told
