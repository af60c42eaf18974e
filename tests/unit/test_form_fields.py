"""Every field of every form: an address and a text that is too long are refused by the schema, in one sentence."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from tests.support.deployments import DEPLOYMENTS, flow_of

SCHEMAS = {name: parameter_schema(flow_of(name)).model_dump_for_openapi() for name in DEPLOYMENTS}
Field = tuple[list[str], dict[str, Any], bool]


def fields_of(part: dict[str, Any], whole: dict[str, Any], path: list[str]) -> Iterator[Field]:
    """Give the path of each field, its schema, and whether it is a list."""
    for name, field in part["properties"].items():
        found, is_list = _resolved(field, whole), False
        if found.get("type") == "array":
            found, is_list = _resolved(found["items"], whole), True
        if "properties" in found:
            yield from fields_of(found, whole, [*path, name])
        else:
            yield [*path, name], found, is_list


def _resolved(field: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    return dict(whole["definitions"][field["$ref"].rpartition("/")[2]]) if "$ref" in field else field


# reconcile starts runs of it with portals of the ledger. A file of settings may have connected any id.
FROM_THE_LEDGER = ("issue-organization", ["portals"])
FIELDS = {
    name: [each for each in fields_of(schema, schema, []) if (name, each[0]) != FROM_THE_LEDGER]
    for name, schema in SCHEMAS.items()
}
ADDRESSES = ("ada@example.org", "Ada <ADA@EXAMPLE.ORG>", "of\nada＠example.org", "ada%40example.org", "https://a:b@c/d")

every_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS)


def refusal(deployment: str, path: list[str], value: Any, *, is_list: bool) -> str:
    """Return what Prefect's server says to a value in this field, which it has to refuse."""
    parameters: Any = [value] if is_list else value
    for name in reversed(path):
        parameters = {name: parameters}
    with pytest.raises(ValidationError) as refused:
        validate(parameters, SCHEMAS[deployment], raise_on_error=True, ignore_required=True)
    return str(refused.value)


def test_reconcile_can_start_a_run_for_any_portal_of_the_ledger() -> None:
    portals = {"portals": ["a@b", "a%40b", "north  wind", "x" * 256]}

    assert flow_of("issue-organization").validate_parameters(portals)["portals"] == portals["portals"]
    assert validate(portals, SCHEMAS["issue-organization"], raise_on_error=True) is not None


@every_deployment
def test_no_field_takes_an_address(deployment: str) -> None:
    for path, field, is_list in FIELDS[deployment]:
        for value in ADDRESSES:
            said = refusal(deployment, path, value, is_list=is_list)
            assert ("then" not in field) or (value not in said and len(said) < 200)


@every_deployment
def test_a_text_that_is_too_long_is_refused_without_repeating_it(deployment: str) -> None:
    for path, field, is_list in FIELDS[deployment]:
        if "then" in field:
            longest = field["if"]["not"]["maxLength"]
            assert longest <= 500 or path == ["rows"]
            assert len(refusal(deployment, path, "x" * max(10_000, longest + 1), is_list=is_list)) < 200


def test_every_text_and_day_has_its_words() -> None:
    fields = [field for found in FIELDS.values() for _, field, _ in found]
    others = [field for field in fields if "then" not in field and "enum" not in field]

    assert {field.get("type") for field in others} == {"boolean", "integer", "number"}
    assert len(fields) > 90
