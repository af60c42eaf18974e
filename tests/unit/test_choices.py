from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from rules.badge.evidence import EvidenceKind, EvidenceSetting
from rules.forms.inputs import (
    BlockName,
    Day,
    EvidenceChoice,
    EvidenceChoices,
    InvalidInput,
    OperatorId,
    PastMoment,
    PortalId,
    UserId,
    free_text,
    in_the_past,
    operator_id,
)

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(("typed", "key"), [(" a-1 \n", "a-1"), (42, "42"), ("", ""), ("\u00a0x", "x")])
def test_keys_are_text_without_blanks_around(typed: object, key: str) -> None:
    assert TypeAdapter(PortalId).validate_python(typed) == key


@pytest.mark.parametrize("typed", [True, None, 1.5, ["a"]])
def test_what_is_no_key_is_refused(typed: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PortalId).validate_python(typed)


@pytest.mark.parametrize("typed", ["ada@example.org", "a b", "", "x" * 256])
def test_an_address_is_no_user_id(typed: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(UserId).validate_python(typed)


def test_the_server_sees_that_an_address_is_no_user_id() -> None:
    assert "@" in TypeAdapter(UserId).json_schema()["if"]["not"]["pattern"]


@pytest.mark.parametrize("typed", ["ada@example.org asked", "for\nada＠example.org", "ada%40example.org", "x" * 31])
def test_a_reason_names_no_address_and_is_short(typed: str) -> None:
    reason = TypeAdapter(Annotated[str, free_text(30)])

    assert reason.validate_python("she asked: 40% of it") == "she asked: 40% of it"
    with pytest.raises(ValidationError, match="'text of at most 30 characters, without an e-mail address' was"):
        reason.validate_python(typed)


@pytest.mark.parametrize("typed", ["", " credly-northwind ", "credly-2"])
def test_a_block_is_named_and_its_token_is_not_entered(typed: str) -> None:
    assert TypeAdapter(BlockName).validate_python(typed) == typed
    with pytest.raises(ValidationError, match="the name of a Secret block"):
        TypeAdapter(BlockName).validate_python(f"{typed}Gj_Kd")


@pytest.mark.parametrize("typed", ["2026-11-02", "2026-11-02T00:00:00.000Z", None, date(2026, 11, 2)])
def test_a_day_is_a_day_or_none(typed: object) -> None:
    assert TypeAdapter(Day).validate_python(typed) == (typed and date(2026, 11, 2))
    with pytest.raises(ValidationError, match="a day such as 2026-11-02"):
        TypeAdapter(Day).validate_python("Wilhelmina")


@pytest.mark.parametrize("typed", ["20260901", "+1", 2026, 1767225600.0, True])
def test_a_number_is_no_moment(typed: object) -> None:
    with pytest.raises(ValidationError, match="a moment such as 2026-11-02T09:00:00Z"):
        TypeAdapter(PastMoment).validate_python(typed)


@pytest.mark.parametrize("typed", ["", "o-17", "Jo Müller", "x" * 64])
def test_an_operator_is_named_by_an_id_or_not_at_all(typed: str) -> None:
    assert operator_id(TypeAdapter(OperatorId).validate_python(typed)) == typed


@pytest.mark.parametrize("typed", ["x" * 65, "jo@example.org", "o\t17", "o\u200b17"])
def test_what_is_no_operators_id_is_a_mistake(typed: str) -> None:
    with pytest.raises(InvalidInput, match=r"^operator: give an id of at most 64 printable characters and no"):
        operator_id(typed)


def test_choices_become_settings_without_blanks() -> None:
    chosen = EvidenceChoices(user=EvidenceChoice(on=True, static_name="  Profile "))

    assert chosen.as_settings() == {
        kind: EvidenceSetting(enabled=kind is EvidenceKind.USER, static_name="Profile" * (kind is EvidenceKind.USER))
        for kind in EvidenceKind
    }


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(ValidationError):
        EvidenceChoice.model_validate({"on": True, "link": "https://example.org"})


def test_a_moment_in_the_past_is_taken_as_it_is() -> None:
    assert in_the_past(None, field="issue_since", now=NOW) is None
    assert in_the_past(NOW, field="issue_since", now=NOW) == NOW


@pytest.mark.parametrize(
    ("moment", "words"),
    [(NOW.replace(tzinfo=None), "needs a time zone"), (NOW + timedelta(seconds=1), "is in the future")],
)
def test_other_moments_are_mistakes_that_name_the_field(moment: datetime, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"^issue_since: .*{words}"):
        in_the_past(moment, field="issue_since", now=NOW)
