"""docs/how-to: the commands fit the deployments, the examples are in the demo, pictures and anchors exist."""

import re
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from demo.credly_data import invented_id, invented_token, token_block
from demo.fill import demo_seed
from demo.platform_data import ACHIEVEMENTS, PORTALS
from settings import ROOT
from tests.support.deployments import DEPLOYMENTS, flow_of
from tests.support.documents import anchors
from tests.support.how_to import HOW_TO, commands, deployment_and_parameters, text

TEXT = text()
PICTURES = ROOT / "docs" / "pictures"


def check(deployment: str, parameters: dict[str, Any]) -> None:
    """Do what Prefect's server does before it makes a run, and what the run does first."""
    flow = flow_of(deployment)
    schema = parameter_schema(flow).model_dump_for_openapi()
    validate(parameters, schema, raise_on_error=True)
    flow.validate_parameters(parameters)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_accepted(words: list[str]) -> None:
    target, parameters = deployment_and_parameters(words)
    flow, _, deployment = target.partition("/")

    assert (flow, deployment) == (flow_of(deployment).name, deployment)
    assert parameters.keys() <= parameter_schema(flow_of(deployment)).properties.keys()
    check(deployment, parameters)


def test_a_whole_number_as_id_is_refused_unless_it_is_quoted_twice() -> None:
    _, quoted = deployment_and_parameters(
        ["prefect", "deployment", "run", "x", "-p", 'user="4711"', "-p", "achievement=a"]
    )
    _, bare = deployment_and_parameters(["prefect", "deployment", "run", "x", "-p", "user=4711", "-p", "achievement=a"])

    check("issue-badge", quoted)
    with pytest.raises(ValidationError, match="'user'"):
        check("issue-badge", bare)


def test_every_form_for_people_is_explained_with_a_command() -> None:
    for_people = {name for name, each in DEPLOYMENTS.items() if "people" in each["tags"]}

    assert for_people - {deployment_and_parameters(words)[0].partition("/")[2] for words in commands()} == set()
    assert [name for name in for_people if f"`{name}`" not in TEXT] == []


def test_the_examples_are_in_the_demo() -> None:
    named = {(key, str(value)) for words in commands() for key, value in deployment_and_parameters(words)[1].items()}
    seed = demo_seed()
    known = {
        "achievement": {key for key, *_ in ACHIEVEMENTS},
        "portal": {key for key, *_ in PORTALS},
        "badge_template_id": {row["id"] for row in seed["templates"]},
        "organization_id": {row["id"] for row in seed["organizations"]},
        "token_block": {token_block(key) for key, *_ in PORTALS},
    }

    assert [(key, value) for key, value in named if key in known and value not in known[key]] == []
    portal = "portal-lumen"
    named_in_the_text = f"`{invented_id('organization', portal)}`, its token `{invented_token(portal)}`"
    assert named_in_the_text in " ".join(TEXT.split())


def test_every_anchor_that_a_message_names_exists() -> None:
    named = {
        found
        for folder in ("tasks", "flows", "rules", "automations")
        for file in (ROOT / folder).rglob("*.py")
        for found in re.findall(r"docs/how-to/([\w-]+\.md)#([\w-]+)", file.read_text(encoding="utf-8"))
    }

    assert ("portals.md", "replace-a-token") in named
    assert [(page, place) for page, place in sorted(named) if place not in anchors(HOW_TO / page)] == []


def test_every_picture_is_shown_and_small() -> None:
    kept = sorted(PICTURES.glob("*.png"))

    assert sorted(re.findall(r"\(\.\./pictures/([\w-]+\.png)\)", TEXT)) == [picture.name for picture in kept]
    assert [picture.name for picture in kept if picture.stat().st_size > 120_000] == []


def test_every_picture_is_taken_by_a_test() -> None:
    taken = re.findall(r'picture\("([\w-]+)"', Path(ROOT / "tests/browser/test_in_the_browser.py").read_text())

    assert sorted(taken) == sorted(picture.stem for picture in PICTURES.glob("*.png"))
