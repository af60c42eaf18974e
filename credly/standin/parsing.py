"""Reading requests: bodies in the forms that clients send, dates in the forms that Credly takes."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from credly.standin.wire import ApiError

_FORMS = ("%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


async def body_of(request: Request) -> dict[str, Any]:
    """Return the fields of a request: JSON, a form, and the query string, which some clients use.

    Raises:
        ApiError: 400, the body is not a JSON object.
    """
    fields = await _fields_of(request)
    request.state.fields = sorted(fields)  # for the log of requests: names, no values
    return fields


async def _fields_of(request: Request) -> dict[str, Any]:
    raw = await request.body()
    fields: dict[str, Any] = dict(request.query_params.items())
    if not raw:
        return fields
    form = "form-urlencoded" in request.headers.get("content-type", "")
    try:
        text = raw.decode()
        parsed = dict(parse_qsl(text, keep_blank_values=True)) if form else _json_of(text)
    except (ValueError, RecursionError):
        raise ApiError(400, "The request could not be parsed.") from None
    if not isinstance(parsed, dict):
        raise ApiError(400, "The request must be a JSON object.")
    return fields | parsed


def basic_in(request: Request) -> str | None:
    """Return the decoded Basic credentials, `name:password`, or None."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        return base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def earner_in(body: bytes) -> str:
    """Return the issuer's own id of the earner in a request to issue; empty for other requests."""
    try:
        fields = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return ""
    return text_in(fields.get("issuer_earner_id")) if isinstance(fields, dict) else ""


def _json_of(text: str) -> Any:
    parsed = json.loads(text)
    # Python also reads NaN and half a surrogate pair, which no reply can be written with.
    json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    return parsed


def text_in(value: object) -> str:
    """Return a field as text; a number is converted, anything else is empty."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def moment_of(text: object) -> datetime | None:
    """Return a moment in UTC from one of the forms that Credly accepts (2), or None."""
    if not isinstance(text, str):
        return None
    # ISO 8601 first: it is the form of most requests, and the others are tried one after the other.
    folded = " ".join(text.split())
    try:
        return _utc(datetime.fromisoformat(folded))
    except (ValueError, OverflowError):
        pass
    for form in _FORMS:
        try:
            return _utc(datetime.strptime(folded, form))  # noqa: DTZ007 - a form without a zone is UTC here
        except (ValueError, OverflowError):
            continue
    return None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def truth_of(value: object) -> bool:
    return value is True or str(value).lower() in ("true", "1", "yes")
