"""Erased users are recognized by a digest, and what stands for them names nobody."""

from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import Flow
from prefect.client.schemas.objects import Artifact, FlowRun
from pydantic import TypeAdapter, ValidationError

from credly.errors import UnsafeFilterValue
from credly.queries import filter_expression
from rules.forms.inputs import UserId
from rules.ledger.erasure import anonymous, badge_digest, is_erased, user_digest
from rules.markdown import code, plain
from settings import ROOT
from tasks.operations.runs_of_user import NAMING_FLOWS, NOBODY, PageMatcher, was_started_with

USER, BADGE = "user-1", "0c8206bf-2d25-463b-ac10-ac4b0d7cd4e1"


def test_an_erased_user_is_recognized_and_no_other() -> None:
    erased = {user_digest("ada")}

    assert is_erased("ada", erased)
    assert not any(is_erased(each, erased) for each in ("Ada", "ada ", "bob", user_digest("ada")))
    assert not is_erased("ada", frozenset())
    assert user_digest("ada") != badge_digest("ada")


def test_what_stands_for_an_erased_user_cannot_be_a_user_with_a_badge() -> None:
    assert anonymous(1) != anonymous(2)
    with pytest.raises(UnsafeFilterValue):
        filter_expression({"issuer_earner_id": anonymous(1)}, states=())


def test_every_form_that_takes_users_ids_is_looked_through_when_one_is_erased() -> None:
    naming = set()
    for file in (ROOT / "flows").glob("[a-z]*.py"):
        flows = [each for each in vars(import_module(f"flows.{Path(file).stem}")).values() if isinstance(each, Flow)]
        naming |= {each.name for each in flows if {"user", "rows"} & each.parameters.properties.keys()}

    assert naming == set(NAMING_FLOWS)


def test_a_retry_of_the_run_that_erased_a_user_erases_nobody() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(UserId).validate_python(NOBODY)


@pytest.mark.parametrize(
    "parameters",
    [
        {"user": USER},
        {"user": f" {USER} "},
        {"rows": f"bob,forklift\n{USER};forklift"},
        {"rows": f'"{USER}",forklift'},
        {"rows": f"'{USER}','forklift'"},
        {"rows": f"“{USER}”\t„forklift“"},
        {"rows": f"\ufeff{USER},forklift"},
        {"rows": "bob,forklift\nus\x01er-1,forklift"},
        {"rows": f"user,badge\n{USER}"},
    ],
)
def test_a_run_that_was_started_with_the_id_is_found(parameters: dict[str, Any]) -> None:
    assert was_started_with(FlowRun(flow_id=uuid4(), parameters=parameters), USER)


@pytest.mark.parametrize(
    "parameters", [{}, {"user": "user-10"}, {"achievement": USER}, {"rows": "user-10,forklift\nmy-user-1,forklift"}]
)
def test_a_run_that_was_started_with_another_id_is_left(parameters: dict[str, Any]) -> None:
    assert not was_started_with(FlowRun(flow_id=uuid4(), parameters=parameters), USER)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("issue-badge", plain(f"Issued forklift to {USER}: https://example.org")),
        ("issue-badges", f"- line **1** · {plain(USER)} · forklift"),
        ("reconcile", f"12 ({code('forklift')} to {code(USER)})"),
        ("reconcile-preview", f'[{{"user": "{USER}"}}]'),
        ("audit", code(BADGE)),
        ("check", f"They have a filler: {code('user-2')}, {code(USER)}"),
        ("check", plain(f"It has another form than Laurel can use in 1 of 9 rows, such as that with the id {USER}.")),
        ("explain-link", f"[badge](https://example.org/{BADGE}/accept)"),
    ],
)
def test_a_page_that_shows_the_user_or_a_badge_is_found(key: str, text: str) -> None:
    assert PageMatcher(USER, [BADGE]).matches(Artifact(key=key, data=text))
    assert PageMatcher(USER, [BADGE]).matches(Artifact(key=key, description=text))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("issue-badge", plain("Issued forklift to user-10, not to my-user-1")),
        ("reconcile", f"{code('user-10')} · portal user-1 has 3 waiting"),
        ("audit", code("another-badge")),
    ],
)
def test_a_page_that_shows_others_is_left(key: str, text: str) -> None:
    assert not PageMatcher(USER, [BADGE]).matches(Artifact(key=key, data=text))
