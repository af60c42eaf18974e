"""What the page of an export has beside its table."""

from tasks.operations.reports import explained

FORM = "https://p.example.org/run"


def test_the_badges_of_the_first_rows_are_explained_by_links() -> None:
    rows = [{"user_id": f"u-{number // 2}", "achievement_id": "a|b"} for number in range(30)]

    lines = explained([{"user_id": None, "achievement_id": "crane"}, *rows], FORM).splitlines()

    assert len(lines) == 12
    assert lines[2].startswith(f"- [explain `a¦b` to `u-0`]({FORM}?parameters=%7B%22user%22%3A%22u-0%22")
    assert explained(rows, "") == explained([{"portal_id": "p", "user_id": "u-1"}], FORM) == explained([], FORM) == ""
