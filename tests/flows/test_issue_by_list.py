"""Issuing badges to a list of users: the good rows are issued, the bad ones reported; safe to run again."""

from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows.issue_badges import issue_badges
from models.ledger.tables import BadgeIssuance
from models.platform.tables import UserEmail
from rules.forms.inputs import InvalidInput
from rules.markdown import plain
from tasks.forms.bulk_issue import lines_of
from tests.integration.test_facts import statements_seen
from tests.support.factories import an_achievement, rows_of
from tests.support.seen import log_of, refused, see
from tests.support.standin import Standin
from tests.support.world import World


def users(standin: Standin) -> list[str]:
    return sorted(badge["issuer_earner_id"] for badge in standin.badges())


@pytest.mark.prefect
async def test_good_rows_are_issued_bad_ones_reported_and_running_again_issues_nothing(
    any_world: World, standin: Standin
) -> None:
    await any_world.enable()
    await an_achievement(any_world.database, "crane")
    pasted = (
        "\ufeff User ; ACHIEVEMENT\r\n"
        " ada ; forklift \r\n"
        "\r\n"
        "ada;forklift\r\n"
        "nobody;forklift\r\n"
        "bob;forklft\r\n"
        "bob;crane\r\n"
        'bob;"forklift\r\n'
        "<b>;\r\n"
        "Ada Lovelace;forklift\r\n"
        "eve;<img src=x> | `x`\r\n"
    )

    seen = await see(issue_badges, rows=pasted, reason="Lost in the move")
    again = await see(issue_badges, rows=pasted)

    assert users(standin) == ["ada", "bob"]
    assert (seen.name, seen.message) == (
        "Needs attention",
        "2 of 9 rows issued, now or before · 0 not issued · 6 skipped · 1 repeated",
    )
    assert again.message == seen.message
    results = {line.split("**")[1]: line for line in seen.page.splitlines() if line.startswith("- ")}
    assert results["2"].startswith("- line **2** · ada · forklift: Issued forklift to ada\\: http")
    assert results["4"] == "- line **4** · ada · forklift: The same as line 2\\."
    assert "there is no user \\`nobody\\`" in results["5"]
    assert "there is no achievement \\`forklft\\`\\. Did you mean forklift" in results["6"]
    assert "has no Credly integration" in results["7"]
    assert results["8"].startswith("- line **8** · bob · forklift: Issued ")
    assert (
        results["9"] == "- line **9** · Skipped\\: a row needs a user id and an achievement id, separated by a comma\\."
    )
    assert "the user must be given by id, not by name or e\\-mail address" in results["10"]
    assert results["11"].startswith("- line **11** · eve · \\<img src=x\\> \\| \\`x\\`: Skipped\\: ")
    assert "Lovelace" not in seen.page
    assert "Not issued again\\: ada has the badge of forklift already" in again.page
    rows = await rows_of(any_world.database, BadgeIssuance)
    assert {row.request_reason for row in rows} == {"Lost in the move"}


async def test_a_long_list_of_other_ids_takes_few_statements(world: World, standin: Standin) -> None:
    await world.enable()
    strangers = [f"0c8206bf-2d25-463b-ac10-{number:012}" for number in range(100)]
    rows = [
        *(f"{each},forklift" for each in strangers),
        *(f"forklift,{each}" for each in strangers),
        "ada,forklift",
    ]

    with statements_seen() as seen:
        listed = await see(issue_badges, rows="\n".join(rows))

    assert users(standin) == ["ada"]
    assert listed.message == "1 of 201 rows issued, now or before · 0 not issued · 200 skipped"
    assert len([each for each in seen if " users" in each or " achievements" in each]) < 50
    first, second = (each for each in listed.page.splitlines() if "there is no" in each)
    assert first.startswith(f"- line **1** · {plain(strangers[0])} · forklift: Skipped\\: user\\: there is no user")
    assert second.startswith(f"- line **101** · forklift · {plain(strangers[0])}: Skipped\\: achievement\\: there")
    assert f"- line **2** · {plain(strangers[1])} · forklift: Skipped\\: the platform has no user" in listed.page


async def test_a_row_that_credly_cannot_be_given_is_not_called_done(world: World, standin: Standin) -> None:
    await world.enable()
    await world.change(UserEmail, "ada", is_primary=False)
    rows = "ada\tforklift\nbob\tforklift"

    preview = await see(issue_badges, rows=rows, preview=True)
    assert preview.message == "Preview: 1 of 2 rows can be issued or are already · 1 not issued · 0 skipped"
    assert "bob · forklift: Preview\\: forklift would be issued to bob; nothing was done" in preview.page
    assert (await rows_of(world.database, BadgeIssuance), standin.requests()) == ([], [])

    seen = await see(issue_badges, rows=rows)
    assert (seen.name, seen.message) == (
        "Needs attention",
        "1 of 2 rows issued, now or before · 1 not issued · 0 skipped",
    )
    assert "Not issued forklift to ada\\: The user has no primary e\\-mail address\\." in seen.page


@pytest.fixture
def lists(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that lists are read from."""
    folder = tmp_path / "lists"
    folder.mkdir()
    world.configure(monkeypatch, LISTS_FOLDER=str(folder))
    return folder


async def test_a_file_is_read_as_spreadsheets_write_it(world: World, standin: Standin, lists: Path) -> None:
    await world.enable()
    file = lists / "list – ليست.csv"
    file.write_bytes('\ufeff"user","achievement"\r\n"ada","forklift","Ada"\r\n"bob","forklift"'.encode())

    seen = await see(issue_badges, path=f" {file.name} ")

    assert (seen.name, users(standin)) == ("Completed", ["ada", "bob"])
    assert seen.message == "2 of 2 rows issued, now or before · 0 not issued · 0 skipped"


async def test_a_file_that_is_no_list_is_not_repeated(world: World, standin: Standin, lists: Path) -> None:
    await world.enable()
    (lists / "users.csv").write_text(
        "id,first_name,last_name,email\nada,Wilhelmina,Featherstonehaugh,minna@example.net\n"
        "Featherstonehaugh,forklift\nbob,forklift\n"
    )

    seen = await see(issue_badges, path="users.csv")

    assert (seen.message, users(standin)) == ("1 of 4 rows issued, now or before · 0 not issued · 3 skipped", ["bob"])
    assert "- line **2** · Skipped\\: the platform has no achievement with this row's achievement id" in seen.page
    assert "- line **3** · Skipped\\: the platform has no user with this row's user id" in seen.page
    seen_or_logged = "\n".join([seen.page, *await log_of(seen.run_id)])
    assert [name for name in ("Wilhelmina", "Featherstonehaugh", "minna") if name in seen_or_logged] == []


async def test_files_of_other_folders_are_not_read(world: World, standin: Standin, lists: Path) -> None:
    await world.enable()
    outside = lists.parent / "outside.csv"
    outside.write_text("ada,forklift\n")
    (lists / "link.csv").symlink_to(outside)
    (lists / "folder").symlink_to(lists.parent)

    for path in ("../outside.csv", str(outside), "link.csv", "folder/outside.csv", "~nobody/x", "x/../../y"):
        message = f"path: give a path in `{lists}` on the machine of the worker, and no other."
        assert await refused(issue_badges, path=path) == message
    assert standin.requests() == []


async def test_a_list_that_cannot_be_read_is_said(world: World, standin: Standin, lists: Path) -> None:
    file = lists / "list.csv"
    for content, said in (
        (b"\xff\xfea\x00d\x00a\x00", "path: the file is not UTF-8 text. Save it as “CSV UTF-8” and try again."),
        (b"user,achievement\n\n , \n", "path: the list is empty. Give lines of user id and achievement id, separated "),
        (b"user,badge\nada,forklift", "path: the header line has a column user and no column achievement. Name the "),
        (b"a,b\n" * 5001, "path: 5001 rows are more than 5000; cut the list into several."),
        (b"x" * 1_000_001, "path: the file is larger than 1000000 bytes; cut the list into several."),
    ):
        file.write_bytes(content)
        assert (await refused(issue_badges, path=str(file))).startswith(said)
    for path in (str(lists), str(lists / "none.csv"), "🏅\n<b>"):
        assert (await refused(issue_badges, path=path)).startswith("path: there is no file `")
    assert (await refused(issue_badges, path="x" * 300)).startswith("path: the file `")
    either = "rows: give either rows or a path, not both and not neither."
    assert await refused(issue_badges, rows=" ", path="\n") == either
    assert await refused(issue_badges, rows="ada,forklift", path=str(file)) == either
    assert standin.requests() == []


@pytest.mark.prefect
@pytest.mark.parametrize("rows", ["ada@example.org,forklift", "ada,forklift\n" * 20_000])
async def test_an_address_and_a_flood_are_refused_before_anything_runs(world: World, rows: str) -> None:
    assert issue_badges.should_validate_parameters
    with pytest.raises(ParameterTypeError):
        issue_badges.validate_parameters({"rows": rows})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("ada,forklift", [("ada", "forklift", "")]),
        ("ada,forklift\rbob,forklift", [("ada", "forklift", ""), ("bob", "forklift", "")]),
        ("a\x00da,for\u200bklift", [("ada", "for\u200bklift", "")]),
        ("ada,forklift,and,more", [("ada", "forklift", "")]),
        ("ada", [("", "", "a row needs a user id and an achievement id, separated by a comma.")]),
        (",forklift", [("", "", "a row needs a user id and an achievement id, separated by a comma.")]),
        (f"{'a' * 256},forklift", [("", "", "the user must be given by id, not by name or e-mail address.")]),
        (
            "forklift,ada@example.org",
            [("", "", "the achievement must be given by id, and is no e-mail address.")],
        ),
        (f'ada,"{"x" * 131_073}"', [("", "", "the row cannot be read as comma-separated values.")]),
    ],
)
def test_a_row_is_read_by_itself(text: str, read: list[Any]) -> None:
    assert [(line.user, line.achievement, line.fault) for line in lines_of(text)] == read


def test_ids_that_look_like_headings_are_ids() -> None:
    text = "user,achievement\nuser-0006,achievement-17\nuser_1,achievement_2\nuser7,achievements-8"

    assert [(line.user, line.achievement) for line in lines_of(text)] == [
        ("user-0006", "achievement-17"),
        ("user_1", "achievement_2"),
        ("user7", "achievements-8"),
    ]


BOTH = [("ada", "forklift"), ("bob", "crane")]


@pytest.mark.parametrize(
    "text",
    [
        "User ID,Achievement\nada,forklift\nbob,crane",
        "achievement,user\nforklift,ada\ncrane,bob",
        "\ufeffachievement_id;USERID\r\nforklift;ada\r\ncrane;bob\r\n",
        '\ufeff"user","achievement"\n"ada","forklift"\n"bob","crane"',
        "No.\tuser-id\tNote\tAchievements\n1\tada\t\tforklift\n2\tbob\tx\tcrane\n",
        ",user,achievement,\n1,ada,forklift,\n2,bob,crane,,\n",
        "\n \n;;\nUser;Achievement\n\nada;forklift\n;;\nbob;crane;\n",
        "sep=;\nuser;achievement\nada;forklift\nbob;crane",
        "'ada','forklift'\n“bob”;„crane“",
        "ada\tforklift\nbob,crane",
        "user,achievement\nada,forklift\nachievement,user\ncrane,bob",
    ],
)
def test_a_list_is_understood_as_people_and_spreadsheets_write_it(text: str) -> None:
    assert [(line.user, line.achievement) for line in lines_of(text) if not line.fault] == BOTH
    assert [line.fault for line in lines_of(text) if line.fault] == []


async def test_a_repeated_row_is_no_reason_to_act(world: World, standin: Standin) -> None:
    await world.enable()

    seen = await see(issue_badges, rows="ada,forklift\nbob,forklift\nada;forklift\n")

    assert (seen.name, seen.message) == (
        "Completed",
        "2 of 3 rows issued, now or before · 0 not issued · 0 skipped · 1 repeated",
    )
    assert "- line **3** · ada · forklift: The same as line 1\\." in seen.page
    assert users(standin) == ["ada", "bob"]


@pytest.mark.parametrize("header", ["user,badge", "E-Mail;Achievement", "name\tuser"])
def test_a_header_that_names_one_of_the_columns_only_is_not_guessed(header: str) -> None:
    with pytest.raises(InvalidInput, match=r"^rows: the header line has a column (user|achievement) and no column "):
        list(lines_of(f"{header}\nada,forklift"))
