"""Menus of forms: what an entry looks like, what a form's value means, and what Prefect's server accepts."""

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import is_valid_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic import TypeAdapter, ValidationError

from rules.forms.inputs import AchievementId, TemplateId
from rules.forms.menus import MARK, Menu, entry, has_menus, id_of_entry, with_menus
from tests.support.deployments import DEPLOYMENTS, flow_of

KEYS = ["a-1", "7", "course-v1:Org+Course+Run", "a b", 'x"<&>|`', "é·日本", "-", "x" * 255]
NAMES = ["Forklift", "", "A · B · c", "Anna (2) · ", "Mail@example.org", "\u202eevil\u200b", "n" * 300, "%40"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", NAMES)
def test_each_entry_is_taken_as_its_id(key: str, name: str) -> None:
    written = entry(key, name, note="Northwind@home, on")

    assert TypeAdapter(AchievementId).validate_python(written) == key
    assert id_of_entry(key) == key


@pytest.mark.parametrize("key", ["", " a", "a ", "x" * 256, "ada@example.org", "a%40b", "a · b"])
def test_what_no_form_accepts_is_in_no_menu(key: str) -> None:
    assert entry(key, "Forklift") == ""


def test_an_entry_shows_name_note_and_id() -> None:
    assert entry("a-1", " Forklift\u200b ", note="Northwind, on") == "Forklift (Northwind, on) · a-1"
    assert entry("a-1", "") == "(no name) · a-1"
    assert entry("a-1", "n" * 81) == f"{'n' * 79}… · a-1"


@pytest.mark.parametrize("typed", ["x" * 256, f"Forklift · {'x' * 256}", "ada@example.org", "Ada@x · a-1", 1.5, None])
def test_what_is_no_id_and_no_entry_is_refused(typed: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AchievementId).validate_python(typed)


def test_the_address_of_a_page_of_credly_reaches_the_flow() -> None:
    address = "https://www.credly.com/management/organizations/1/badge_templates/7e7e7e7e-0000-4000-8000-000000000001"

    assert TypeAdapter(TemplateId).validate_python(address) == address


@pytest.mark.parametrize("deployment", sorted(DEPLOYMENTS))
def test_each_field_for_an_id_of_the_platform_has_a_menu(deployment: str) -> None:
    fields = schema_of(deployment)["properties"]

    for name in {"portal", "achievement", "badge_template_id", "company", "project"} & set(fields):
        assert fields[name][MARK] == {"badge_template_id": Menu.TEMPLATE.value}.get(name, name)


def test_a_form_with_menus_accepts_entries_ids_and_nothing_that_it_refused_before() -> None:
    plain = schema_of("issue-badge")
    menus: dict[str, list[str]] = {
        Menu.ACHIEVEMENT: [entry("forklift", "Forklift")],
        Menu.PROJECT: [entry("bridge", "Bridge")],
        Menu.COMPANY: [],
    }

    schema = with_menus(plain, menus)

    is_valid_schema(schema)
    assert has_menus(schema)
    assert not has_menus(plain)
    assert schema["properties"]["achievement"]["anyOf"][0]["enum"] == ["Forklift · forklift"]
    assert schema["properties"]["project"]["anyOf"][0]["enum"] == ["", "Bridge · bridge"]  # it may be left empty
    assert schema["properties"]["company"] == plain["properties"]["company"]
    assert schema["properties"]["user"] == plain["properties"]["user"]
    for value in ("Forklift · forklift", "forklift", "Renamed since · forklift"):
        assert mistakes(schema, achievement=value) == []
    assert mistakes(schema, achievement="forklift", project="") == []
    assert mistakes(schema, achievement="ada@example.org") == [
        "'an id of at most 255 characters, no e-mail address' was expected"
    ]
    assert mistakes(schema, achievement=5) == ["5 is not valid under any of the given schemas"]


def test_menus_replace_menus_and_leave_again() -> None:
    plain = schema_of("enable-credly")
    first = with_menus(plain, {Menu.ACHIEVEMENT: ["A · a"], Menu.TEMPLATE: ["T · t"]})

    assert with_menus(first, {Menu.ACHIEVEMENT: ["B · b"], Menu.TEMPLATE: ["T · t"]}) == with_menus(
        plain, {Menu.ACHIEVEMENT: ["B · b"], Menu.TEMPLATE: ["T · t"]}
    )
    assert with_menus(first, {}) == plain


def schema_of(deployment: str) -> dict[str, Any]:
    return parameter_schema(flow_of(deployment)).model_dump_for_openapi()


def mistakes(schema: dict[str, Any], **parameters: Any) -> list[str]:
    return [error.message for error in validate({"user": "ada", **parameters}, schema)]
