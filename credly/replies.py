"""What a reply of Credly means: a value, or which error. Pure: no network, no clock.

Bodies are read defensively (Credly API notes, section 8): `data.message`, then `data.errors`, then a
top-level `message` or `error`; a gateway's HTML or an empty body has no meaning.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, TypeVar

from pydantic import ValidationError

from credly.errors import (
    AlreadyIssued,
    AlreadyReplaced,
    CredlyError,
    Facts,
    NotConnected,
    NotFound,
    Refused,
    Throttled,
    Unclear,
    mask_message,
)
from credly.wire import Received

_LONGEST_WAIT = timedelta(hours=24)
_REDIRECTED = frozenset({301, 302, 307, 308})
_GONE = frozenset({404, 410})
_MOST_ROWS = 2_000  # of a page: the longest one has a thousand, and each row takes a kilobyte

ReceivedT = TypeVar("ReceivedT", bound=Received)


@dataclass(frozen=True)
class Call:
    """A call in progress: its operation, our id for it, the texts to mask in the answer, the longest answer read."""

    operation: str
    request_id: str
    personal: tuple[str, ...] = field(default=(), repr=False)
    longest_reply: int = 5_000_000  # bytes, as they are after decompression
    continues: bool = False  # the next page of a list

    def facts(self, *, code: str, status: int | None = None) -> Facts:
        return {"code": code, "status": status, "request_id": self.request_id, "operation": self.operation}


@dataclass(frozen=True)
class Reply:
    """Credly's answer to a call. `body` is None when it was longer than we read.

    `credly_request_id` is its `X-Request-Id`, which need not be the id that the call was sent with.
    """

    call: Call
    status: int
    body: bytes | None = field(repr=False)
    retry_after: str | None = None
    credly_request_id: str | None = None

    @cached_property
    def payload(self) -> dict[str, Any]:
        try:
            parsed = json.loads(self.body or b"")
        except (ValueError, RecursionError):
            return {}  # RecursionError: thousands of brackets, from whatever answered in Credly's place
        return parsed if isinstance(parsed, dict) else {}

    def facts(self, code: str) -> Facts:
        return {**self.call.facts(code=code, status=self.status), "credly_request_id": self.credly_request_id}

    def unclear(self, code: str) -> Unclear:
        """The error for a reply that does not show whether the call took effect."""
        return Unclear(**self.facts(code))


def one(model: type[ReceivedT], reply: Reply) -> ReceivedT:
    """The object in a success reply.

    Raises:
        Unclear: there is no envelope, or the object has no id.
    """
    return _parsed(model, _content(reply), reply=reply)


def several(model: type[ReceivedT], reply: Reply) -> list[ReceivedT]:
    """The objects in a success reply that lists some.

    Raises:
        Unclear: there is no list, it is longer than any page, or an entry has no id.
    """
    rows = _content(reply)
    if not isinstance(rows, list):
        raise reply.unclear("incomplete_reply")
    if len(rows) > _MOST_ROWS:
        raise reply.unclear("reply_too_large")
    return [_parsed(model, row, reply=reply) for row in rows]


def error_for(reply: Reply, *, now: datetime) -> CredlyError:
    """The error for a reply; `now` is for a Retry-After with a date."""
    status = reply.status
    if reply.body is None:
        return reply.unclear("reply_too_large")
    payload = reply.payload
    texts = list(_texts(payload))
    facts = reply.facts(f"http_{status}")
    facts["credly_message"] = mask_message("; ".join(texts), personal=reply.call.personal)
    # A refused token may be answered by the layer for HTTP's Basic scheme, in plain text: its form is not known.
    is_plain = status == 401 and not reply.body.lstrip().startswith(b"<")
    is_validation = status == 422 and bool(texts)
    facts["in_credly_form"] = is_plain or is_validation or isinstance(payload.get("data"), Mapping)
    if status in _REDIRECTED:
        return NotFound(**facts | {"code": "redirected", "in_credly_form": False})
    # Also a 2xx that no call expects: whatever it means, a badge may have been made.
    if not 400 <= status < 500 or status == 408:
        return Unclear(**facts)
    if status == 429:
        wait = parse_retry_after(reply.retry_after, now=now)
        return Throttled(retry_after=wait, **facts | {"code": "throttled"})
    if status in (401, 403):
        return NotConnected(**facts | {"code": "token_refused" if status == 401 else "forbidden"})
    if status in _GONE:
        return NotFound(**facts | {"code": "not_found"})
    if not facts["in_credly_form"]:
        return Unclear(**facts)  # from a gateway or a firewall: the badge may exist all the same
    return _refusal(reply, message=" ".join(texts).casefold(), facts=facts)


def parse_retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """How long to wait by a Retry-After header of seconds or an HTTP date; at least zero, at most a day."""
    text = (value or "").strip()
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        wait = timedelta(seconds=min(float(text), _LONGEST_WAIT.total_seconds()) if text[0] != "-" else 0)
        return min(wait, _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a date beyond all dates
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(aware - now, timedelta(0)), _LONGEST_WAIT)


def readable_id(header: str | None) -> str | None:
    """The reply's `X-Request-Id` if it can be one: up to 64 printable ASCII characters."""
    text = (header or "").strip()
    return text if re.fullmatch(r"[ -~]{1,64}", text) else None


def _refusal(reply: Reply, *, message: str, facts: Facts) -> Refused:
    # Credly has no code for these, so its wording decides (API notes, sections 4.2 and 4.9).
    if reply.status == 422 and "already has this badge" in message:
        return AlreadyIssued(**facts | {"code": "already_issued"})
    if reply.status == 422 and "cannot be replaced because it has already been replaced" in message:
        metadata = reply.payload.get("metadata")
        current = metadata.get("current_badge_id") if isinstance(metadata, Mapping) else None
        badge_id = current if isinstance(current, str) else None
        return AlreadyReplaced(current_badge_id=badge_id, **facts | {"code": "already_replaced"})
    return Refused(**facts)


def _content(reply: Reply) -> object:
    payload = reply.payload
    if "data" not in payload:
        raise reply.unclear("incomplete_reply" if payload else "unparsable_reply")
    return payload["data"]


def _parsed(model: type[ReceivedT], row: object, *, reply: Reply) -> ReceivedT:
    # Raised outside the except block: a chained ValidationError would carry Credly's row along.
    try:
        return model.model_validate(row)
    except ValidationError:
        pass
    raise reply.unclear("incomplete_reply")


def _texts(payload: Mapping[str, Any]) -> Iterator[str]:
    # The best place first. All are read, since any of them may have the reason.
    data = payload.get("data")
    inner = data if isinstance(data, Mapping) else {}
    errors = inner.get("errors")
    fields = [entry for entry in errors if isinstance(entry, Mapping)] if isinstance(errors, list) else []
    candidates = [
        inner.get("message"),
        *map(_field_error, fields),
        payload.get("message"),
        payload.get("error"),
    ]
    yield from (text for text in candidates if isinstance(text, str) and text.strip())


def _field_error(entry: Mapping[str, Any]) -> str:
    messages = entry.get("messages")
    texts = [text for text in messages if isinstance(text, str)] if isinstance(messages, list) else []
    return f"{entry.get('attribute', '')}: {', '.join(texts)}"
