"""Links that open a form on Prefect's pages with its fields filled in."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from rules.forms.configuration import Columns, evidence_choices
from rules.forms.settings import IntegrationForm


def form_link(form: str, **parameters: Any) -> str:
    """Return the link to a form (by its address) that is filled in with these parameters; empty if `form` is."""
    if not form:
        return ""
    filled = json.dumps(parameters, ensure_ascii=False, separators=(",", ":"), default=_moment)
    # Prefect's classic pages decode the query twice: a percent sign is written as JSON's escape.
    escaped = filled.replace("%", "\\u0025")
    return f"{form}?parameters={quote(escaped, safe='')}"


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def enable_parameters(achievement_id: str, columns: Columns) -> dict[str, Any]:
    """Return the parameters of `enable-credly` that leave an integration as it is stored."""
    # All of them, also those with the form's default: the deployment may have other ones.
    settings = {
        field.alias or name: field.default if columns[name] is None else columns[name]
        for name, field in IntegrationForm.model_fields.items()
        if name in columns
    }
    return {"achievement": achievement_id, **settings, "evidence": evidence_choices(columns)}
