import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.badge.masking import mask_email, mask_name
from rules.badge.text import DOUBTFUL_PLACEHOLDERS, PLACEHOLDERS, Oddity, oddities, sent_name, sent_names, tidy
from settings import ROOT


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


@pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))
@pytest.mark.parametrize("form", ["{}", " {} ", "({})", "<{}>", "[{}].", "#{}", "“{}”"])
def test_a_placeholder_is_a_missing_name_in_any_case_and_punctuation(placeholder: str, form: str) -> None:
    for written in (placeholder, placeholder.upper(), placeholder.title(), placeholder.replace(" ", "_")):
        assert sent_names(form.format(written), "Muster") == ("", "Muster")
        assert sent_names("Ada", form.format(written)) == ("Ada", "")


@pytest.mark.parametrize("name", ["-", "--", "—", "…", "?", "***", " . ", "/", "_", "Ｎ／Ａ", "[object Object]"])
def test_punctuation_alone_is_a_missing_name(name: str) -> None:
    assert sent_names(name, name) == ("", "")


@pytest.mark.parametrize("name", sorted(DOUBTFUL_PLACEHOLDERS))
def test_a_placeholder_that_is_also_a_name_is_missing_only_beside_another(name: str) -> None:
    assert sent_names(name.title(), "Goldin") == (name.title(), "Goldin")
    assert sent_names(name, name.upper()) == ("", "")
    assert sent_names(name, "n/a") == ("", "")
    assert sent_names(None, f"{name}.") == ("", "")


@pytest.mark.parametrize(
    "name", ["Nonesuch", "Nullmann", "Li", "O", "Æ", "O'Neil-Null", "Nguyễn", "undefined Smith", "李", "🏴", "J. R."]
)
def test_a_name_is_no_placeholder(name: str) -> None:
    assert sent_names(name, name) == (name, name)


ODD = {
    Oddity.BIDI_CONTROL: "\u202e \u202a \u2066 \u2069 \u200e \u200f \u061c",
    Oddity.ZERO_WIDTH: "\u200b \u2060 \ufeff \u00ad \u034f \u180e \u2063 \u206a",
    Oddity.FILLER: "\u3164 \u115f \u1160 \uffa0 \u2800 \u17b4",
    Oddity.TAG: "\U000e0041 \U000e0001 \ufff9 \U0001d173",
}


@pytest.mark.parametrize(
    ("oddity", "character"), [(key, each) for key, all_ in ODD.items() for each in all_.split(" ")]
)
def test_hidden_characters_are_found_and_not_sent(oddity: Oddity, character: str) -> None:
    assert oddities(f"A{character}da") == [oddity]
    assert sent_name(f"{character}A{character}da") == "Ada"
    assert sent_names(character, f"n/a{character}") == ("", "")


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
def test_a_joiner_is_hidden_only_where_no_script_needs_it(joiner: str) -> None:
    assert oddities(f"A{joiner}da") == [Oddity.ZERO_WIDTH]
    assert sent_name(f"{joiner}A{joiner}da") == "Ada"
    for needed in ("می\u200cخواهم", "क्\u200dष", "👩\u200d🔬"):
        assert (oddities(needed), sent_name(needed)) == ([], needed)


@pytest.mark.parametrize(
    ("text", "oddity"),
    [
        ("O&#39;Brien", Oddity.HTML_ENTITY),
        ("O&#x27;Brien", Oddity.HTML_ENTITY),
        ("R&amp;D", Oddity.HTML_ENTITY),
        ("Jos&eacute;", Oddity.HTML_ENTITY),
        ("MÃ¼ller", Oddity.MOJIBAKE),
        ("FranÃ§ois", Oddity.MOJIBAKE),
        ("JosÃ©", Oddity.MOJIBAKE),
        ("Ð˜Ð²Ð°Ð½", Oddity.MOJIBAKE),
        ("å¼\u00a0ä¸‰", Oddity.MOJIBAKE),
        ("Oâ€™Brien", Oddity.MOJIBAKE),
        ("Jos\ufffd", Oddity.UNREADABLE),
    ],
)
def test_what_was_converted_wrongly_is_found_and_sent_as_it_is(text: str, oddity: Oddity) -> None:
    assert oddities(text) == [oddity]
    assert sent_name(text) == tidy(text)


@pytest.mark.parametrize(
    "text", ["O'Brien", "AT&T; x", "a & b;", "&nosuch;", "Müller", "Ångström", "Ça", "Łódź", "Âge", "Übersicht…", "李"]
)
def test_usual_text_has_no_oddity(text: str) -> None:
    assert oddities(text) == []


def test_each_line_of_the_tables_is_documented() -> None:
    document = (ROOT / "docs" / "reference" / "names.md").read_text(encoding="utf-8")

    for each in (*PLACEHOLDERS, *DOUBTFUL_PLACEHOLDERS, *Oddity):
        assert f"`{each}`" in document, each


def test_what_becomes_of_an_odd_name_is_said() -> None:
    assert {each.consequence for each in Oddity} == {
        "they are sent without it",
        "they are sent as they are",
        "nothing with them is sent",
    }
