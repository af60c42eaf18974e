"""Calls of the client against a scripted server, for one invented earner."""

import base64
import pickle
import traceback
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from credly.client import CredlyClient
from credly.errors import CredlyError
from credly.wire import BadgeRequest, UrlEvidence
from tests.support.scripted_server import answer, scripted_server

TOKEN = "tok3n-s3cret"
EMAIL = "ada+credly@example.org"
BADGE_ROW = {
    "id": "badge-1",
    "state": "pending",
    "recipient_email": EMAIL,
    "issuer_earner_id": "person-0042",
    "badge_template": {"id": "template-1"},
    "user": {},
}
REQUEST = BadgeRequest(
    badge_template_id="template-1",
    recipient_email=EMAIL,
    issued_to_first_name="Ada",
    issued_to_last_name="Muster",
    issued_at=datetime(2026, 11, 2, 8, tzinfo=UTC),
    issuer_earner_id="person-0042",
    evidence=(UrlEvidence(name="Ada Muster", value="https://example.org/ada"),),
)


def a_client(base_url: str = "http://127.0.0.1:9/v1", **changed: Any) -> CredlyClient:
    arguments: dict[str, Any] = {"base_url": base_url, "organization_id": "org-1", "token": SecretStr(TOKEN)}
    return CredlyClient(**arguments | changed)


def envelope(data: object, **metadata: object) -> dict[str, object]:
    return {"data": data, "metadata": metadata}


def page_of(*rows: object, page: int, pages: int) -> bytes:
    next_page = f"http://elsewhere.example/v1/x?page={page + 1}" if page < pages else None
    return answer(200, envelope(list(rows), current_page=page, total_pages=pages, next_page_url=next_page))


def a_row(badge_id: str, **changed: object) -> dict[str, object]:
    return {**BADGE_ROW, "id": badge_id, **changed}


async def error_of(call: Awaitable[object]) -> CredlyError:
    with pytest.raises(CredlyError) as raised:
        await call
    return raised.value


async def error_from(*answers: bytes, **changed: Any) -> CredlyError:
    async with scripted_server(*answers) as server, a_client(server.base_url, **changed) as client:
        return await error_of(client.issue_badge(REQUEST))


def assert_tells_nothing(error: CredlyError) -> None:
    told = [str(error), repr(error), *traceback.format_exception(error), str(vars(error))]
    text = "\n".join(told) + pickle.dumps(error).decode("latin-1")
    basic = base64.b64encode(f"{TOKEN}:".encode()).decode()

    assert not [word for word in (TOKEN, basic, EMAIL, "ada+credly", "Muster", "Ada") if word in text]
    assert (error.__cause__, error.__context__) == (None, None)
