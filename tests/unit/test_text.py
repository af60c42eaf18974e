import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.badge.masking import mask_email, mask_name
from rules.badge.text import tidy


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        (None, ""),
        ("", ""),
        ("Ada", "Ada"),
        ("  Ada \t Maria\nMuster ", "Ada Maria Muster"),
        ("Ada\u00a0Muster", "Ada Muster"),
        ("Ada\x00\x07", "Ada"),
        ("A\x1b[31mda", "A[31mda"),
        ("Ada\ud800", "Ada"),
        ("\u200bAda\u200b", "Ada"),
        ("\ufeff Ada", "Ada"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        (" \t\r\n", ""),
        ("\u200b\u2060\ufeff", ""),
        ("\u00a0\u3000", ""),
        ("\x00", ""),
        ("李 小龙", "李 小龙"),
        ("Zoe\u0308", "Zoe\u0308"),
        ("O'Brien-Ström", "O'Brien-Ström"),
    ],
)
def test_text_is_made_fit_to_send(typed: str | None, sent: str) -> None:
    assert tidy(typed) == sent


@given(st.text())
def test_tidy_text_is_tidy(typed: str) -> None:
    once = tidy(typed)

    assert tidy(once) == once
    assert once == once.strip()
    assert "  " not in once


@pytest.mark.parametrize(("name", "hint"), [("Ada", "A…"), ("李小龙", "李…"), ("", ""), (None, "")])
def test_of_a_name_only_the_first_character_is_shown(name: str | None, hint: str) -> None:
    assert mask_name(name) == hint


@pytest.mark.parametrize(
    ("address", "hint"),
    [("ada@example.org", "a…@e…"), ("nobody", "@n…"), ("a@b@c.org", "a…@c…"), ("", ""), (None, "")],
)
def test_of_an_address_only_two_characters_are_shown(address: str | None, hint: str) -> None:
    assert mask_email(address) == hint
