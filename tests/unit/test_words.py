"""How things are put before a person: Markdown that stays text, near matches, pasted tokens, counts, masks."""

import re

import pytest

from rules.badge.masking import mask_email, mask_name
from rules.forms.suggestions import did_you_mean, near_matches
from rules.forms.token_format import fault_of_token
from rules.markdown import code, plain, row, table
from rules.wording import counted

KNOWN = {"forklift": "Forklift Operation", "first-aid": "First Aid", "crane": "Crane", "lights": "", "mentor": "mentor"}


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "[a](https://x.example)", "**bold** | cell", "# head", "a_b`c`", "&amp;"]
)
def test_text_of_the_platform_is_never_markup(text: str) -> None:
    shown = plain(text)

    assert set(re.sub(r"\\(.)", "", shown)) & set("<>[]()*_|`#&") == set()
    assert re.sub(r"\\(.)", r"\1", shown) == text


def test_text_is_on_one_line_and_not_endless() -> None:
    assert plain("a\n\n b\tc") == "a b c"
    assert plain("x" * 300) == "x" * 199 + "…"
    assert plain("x" * 200) == "x" * 200
    assert plain("שלום 👋") == "שלום 👋"


def test_code_stays_one_cell() -> None:
    assert code("a`b|c\nd") == "`a'b¦c d`"
    assert code("x" * 201) == "`" + "x" * 199 + "…`"


def test_a_table_has_a_head_and_rows() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert row("x") == "| x |"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("forklfit", ["forklift"]),
        ("FORKLIFT", ["forklift"]),
        ("First aid", ["first-aid"]),
        ("aid", ["first-aid"]),
        ("zzzz", []),
        ("", []),
    ],
)
def test_near_matches_by_id_or_name(typed: str, found: list[str]) -> None:
    assert near_matches(typed, KNOWN) == found


def test_what_is_meant_is_asked_with_the_name() -> None:
    assert did_you_mean("forklfit", KNOWN) == " Did you mean forklift (Forklift Operation)?"
    assert did_you_mean("light", KNOWN) == " Did you mean lights?"
    assert did_you_mean("mentr", KNOWN) == " Did you mean mentor?"
    assert did_you_mean("zzzz", KNOWN) == ""


def test_where_there_are_few_all_are_named_and_long_names_are_cut() -> None:
    assert did_you_mean("zzzz", {"only": "n" * 90}) == f" Did you mean only ({'n' * 59}…)?"
    assert did_you_mean("zzzz", {}) == ""


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (" token", "blanks or a line end around"),
        ("token\n", "blanks or a line end around"),
        ("token;", "semicolon"),
        ("token:", "colon"),
        ('"token"', "quotation marks"),
        ("'token", "quotation marks"),
        ("to ken", "in it"),
        ("to\u200bken", "in it"),
        ("tökén", "not allowed in a token"),
        ('{"token": 1}', "JSON"),
        ('["token"]', "JSON"),
    ],
)
def test_a_badly_pasted_token_is_recognized_and_not_repeated(value: str, fault: str) -> None:
    found = fault_of_token(value)

    assert found is not None
    assert fault in found
    assert "ken" not in found.replace("token", "")


def test_a_token_is_a_token() -> None:
    assert fault_of_token("p5mYPl9KOz6DjSMEMPEUoE5l-_9==") is None


def test_counts_have_their_nouns() -> None:
    assert [counted(n, "badge") for n in (0, 1, 2)] == ["0 badges", "1 badge", "2 badges"]


def test_masks_show_hints() -> None:
    assert (mask_name("Ada"), mask_name(""), mask_name(None)) == ("A…", "", "")
    assert (mask_email("ada@example.org"), mask_email(None)) == ("a…@e…", "")
