"""Links to filled forms: whatever an id is made of, both of Prefect's pages read it as it was."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from models.setup.tables import CredlyIntegration
from rules.badge.issuance_data import Expiry
from rules.forms.links import enable_parameters, form_link
from rules.forms.settings import IntegrationForm
from tasks.forms.integrations import integration_columns
from tests.support.facts import NOW

FORM = "https://tools.example.org/prefect/deployments/deployment/0c5b0d48-4cfd-4d5b-8a1e-5d3e6a5f7d10/run"
TEMPLATE = "03fd4beb-5525-5f77-8c87-958c30673ee9"
ODD = [
    "4711",
    "null",
    'it\'s "quoted"',
    "a&b=c#d?e;f+g",
    "a|b [c](d) <e> `f` \\ \\u0041 \\",
    "]( :) ((",
    "100% %41 %2541 %",
    "é עברית 🏅 ＠",
    "../..//x y\tz",
]


def read_on_v2(link: str) -> Any:
    (text,) = parse_qs(urlsplit(link).query, strict_parsing=True)["parameters"]
    return json.loads(text)


def read_on_classic_pages(link: str) -> Any:
    # They decode what their router has decoded.
    (text,) = parse_qs(urlsplit(link).query, strict_parsing=True)["parameters"]
    assert "%" not in text  # a browser would refuse most of what follows one
    return json.loads(unquote(text))


@pytest.mark.parametrize("odd", ODD)
def test_an_id_of_any_characters_arrives_unchanged_on_both_pages(odd: str) -> None:
    link = form_link(FORM, user=odd, achievement=f"x{odd}")

    assert read_on_v2(link) == read_on_classic_pages(link) == {"user": odd, "achievement": f"x{odd}"}
    assert link.isascii()
    assert link.startswith(f"{FORM}?parameters=")


@pytest.mark.parametrize("odd", ODD)
def test_a_link_is_whole_in_markdown_and_in_a_cell_of_a_table(odd: str) -> None:
    link = form_link(FORM, user=odd)

    rendered = (
        MarkdownIt().enable("table").render(f"1 (`x`, [issue]({link})), 2\n\n| a | b |\n|---|---|\n| [c]({link}) | d |")
    )

    assert rendered.count(f'href="{link}"') == 2
    assert rendered.count("<td>") == 2


def test_without_a_form_there_is_no_link() -> None:
    assert form_link("", user="ada") == ""


# Of a switch the other position, of a choice the last word.
OTHERS = {
    name: [*type(field.default)][-1] if isinstance(field.default, StrEnum) else not field.default
    for name, field in IntegrationForm.model_fields.items()
    if isinstance(field.default, bool | StrEnum)
}
EVERYTHING = OTHERS | {
    "issue_since": datetime(2026, 9, 1, 8, 15, 42, 123456, tzinfo=UTC),
    "expiry": Expiry.AFTER_DAYS,
    "expires_after_days": 30,
    "locale": "pt-BR",
    "revoke_reason": "100% “odd” & | [x](y)",
    "user_evidence": True,
    "company_evidence": True,
    "company_evidence_name": "Our | customer",
    "project_evidence_description": "kept, although it is off",
}


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
def test_an_integrations_link_has_its_present_settings(changes: dict[str, Any]) -> None:
    stored = CredlyIntegration(achievement_id="forklift", badge_template_id=TEMPLATE, enabled_at=NOW, **changes)

    filled = read_on_v2(form_link(FORM, **enable_parameters("forklift", stored.model_dump())))

    assert filled.pop("achievement") == "forklift"
    columns = integration_columns(IntegrationForm.model_validate(filled), now=NOW)
    assert columns == {name: getattr(stored, name) for name in columns}
    # The form's other fields have the deployment's defaults, which need not be those of the code.
    assert filled.keys() == {field.alias or name for name, field in IntegrationForm.model_fields.items()} - {
        "hold_above"
    }
