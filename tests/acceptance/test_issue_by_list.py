"""Issuing badges to a list of users: the good rows are issued, the bad ones reported; safe to run again."""

from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows.issue_badges import issue_badges
from models.ledger.tables import BadgeIssuance
from models.platform.tables import UserEmail
from tasks.forms.bulk_issue import lines_of
from tests.support.factories import an_achievement, rows_of
from tests.support.seen import refused, see
from tests.support.standin import Standin
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("prefect_server")


def users(standin: Standin) -> list[str]:
    return sorted(badge["issuer_earner_id"] for badge in standin.badges())


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
        "2 of 9 rows issued, now or before · 0 not issued · 7 skipped",
    )
    assert again.message == seen.message
    results = {line.split("**")[1]: line for line in seen.page.splitlines() if line.startswith("- ")}
    assert results["2"].startswith("- line **2** · ada · forklift: Issued forklift to ada\\: http")
    assert "Skipped\\: the row stands above already\\." in results["4"]
    assert "there is no user \\`nobody\\`" in results["5"]
    assert "there is no achievement \\`forklft\\`\\. Did you mean forklift" in results["6"]
    assert "has no Credly integration" in results["7"]
    assert results["8"].startswith("- line **8** · bob · forklift: Issued ")
    assert results["9"] == "- line **9** · Skipped\\: a row needs a user id and an achievement id\\."
    assert "must be a user's id, and no name or e\\-mail address" in results["10"]
    assert results["11"].startswith("- line **11** · eve · \\<img src=x\\> \\| \\`x\\`: Skipped\\: ")
    assert "Lovelace" not in seen.page
    assert "Not issued again\\: ada has the badge of forklift already" in again.page
    rows = await rows_of(any_world.database, BadgeIssuance)
    assert {row.request_reason for row in rows} == {"Lost in the move"}


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


async def test_a_file_is_read_as_spreadsheets_write_it(world: World, standin: Standin, tmp_path: Path) -> None:
    await world.enable()
    file = tmp_path / "list – ليست.csv"
    file.write_bytes('\ufeff"user","achievement"\r\n"ada","forklift","Ada"\r\n"bob","forklift"'.encode())

    seen = await see(issue_badges, path=f" {file} ")

    assert (seen.name, users(standin)) == ("Completed", ["ada", "bob"])
    assert seen.message == "2 of 2 rows issued, now or before · 0 not issued · 0 skipped"


async def test_a_list_that_cannot_be_read_is_said(world: World, standin: Standin, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    for content, said in (
        (b"\xff\xfea\x00d\x00a\x00", "path: the file is not UTF-8 text. Save it as “CSV UTF-8” and try again."),
        (b"user,achievement\n\n , \n", "rows: the list is empty. Give lines of user id and achievement id, separated "),
        (b"a,b\n" * 5001, "rows: 5001 rows are more than 5000; cut the list into several."),
        (b"x" * 1_000_001, "path: the file is larger than 1000000 bytes; cut the list into several."),
    ):
        file.write_bytes(content)
        assert (await refused(issue_badges, path=str(file))).startswith(said)
    for path in (str(tmp_path), str(tmp_path / "none.csv"), "/dev/zero", "🏅\n<b>"):
        assert (await refused(issue_badges, path=path)).startswith("path: there is no file `")
    assert (await refused(issue_badges, path="x" * 5000)).startswith("path: the file `xxx")
    either = "rows: give either rows or a path, not both and not neither."
    assert await refused(issue_badges, rows=" ", path="\n") == either
    assert await refused(issue_badges, rows="ada,forklift", path=str(file)) == either
    assert standin.requests() == []


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
        ("ada", [("", "", "a row needs a user id and an achievement id.")]),
        (",forklift", [("", "", "a row needs a user id and an achievement id.")]),
        (f"{'a' * 256},forklift", [("", "", "the first column must be a user's id, and no name or e-mail address.")]),
        (
            "forklift,ada@example.org",
            [("", "", "the second column must be an achievement's id, and no e-mail address.")],
        ),
        (f'ada,"{"x" * 131_073}"', [("", "", "the row cannot be read as comma-separated values.")]),
    ],
)
def test_a_row_is_read_by_itself(text: str, read: list[Any]) -> None:
    assert [(line.user, line.achievement, line.fault) for line in lines_of(text)] == read
