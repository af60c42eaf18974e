"""The form of an answer: what is recorded of it without its values."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx

from credly.replies import Call, Reply, error_for, readable_id

_ID = re.compile(r"(?<=/)(?!v1/)[^/]*\d[^/]*(?=/|$)")
_LONGEST_LIST = 1  # entries of a list have the same form


def record_of(reply: httpx.Response) -> dict[str, Any]:
    """Return what an error answer looked like: no value of its body, and no id of its path."""
    path = _ID.sub("…", reply.request.url.path.removesuffix(".json"))
    return {
        "status": reply.status_code,
        "call": f"{reply.request.method} {path}",
        "content_type": reply.headers.get("content-type", ""),
        "shape": shape_of_body(reply.content),
        "in_envelope": _message_in(reply) is not None,
        "believed_by_laurel": _is_believed(reply),
        "request_id": readable_id(reply.headers.get("x-request-id")),
        "retry_after": reply.headers.get("retry-after"),
    }


def shape_of_body(body: bytes) -> Any:
    """Return a JSON body with types in place of values; for anything else one word."""
    try:
        return _shape(json.loads(body))
    except ValueError:
        text = body.strip()
        return "empty" if not text else "markup" if text.startswith(b"<") else "text"


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(name): _shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value[:_LONGEST_LIST]]
    return "null" if value is None else type(value).__name__


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_ -]{1,40}", name) else "…"


def _message_in(reply: httpx.Response) -> str | None:
    try:
        message = reply.json()["data"]["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return message if isinstance(message, str) else None


def _is_believed(reply: httpx.Response) -> bool:
    """Whether Laurel's own reading takes this for Credly's answer, and not for a gateway's."""
    call = Call(operation="sandbox", request_id="")
    return error_for(Reply(call, reply.status_code, body=reply.content), now=datetime.now(UTC)).in_credly_form
