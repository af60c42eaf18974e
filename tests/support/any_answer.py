"""Answers put together at random: any JSON, bytes, header and encoding, or the proper row with odd values."""

import asyncio
import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.misbehaving_server import Exchange, head
from tests.support.misbehaviour import Misbehaviour

PROPER = "PROPER"  # the answer that a proper server would give, with `odd` values in it
TOO_LONG = "TOO_LONG"  # six million blanks: more than is read, and encoded a few bytes
FIELDS = (
    *("id", "state", "recipient_email", "issuer_earner_id", "badge_template", "issued_at", "created_at", "expires_at"),
    *("badge_url", "accept_badge_url", "replaces_badge_id", "replacement_badge_id", "name", "write_enabled", "message"),
    *("errors", "current_page", "total_pages", "next_page_url", "current_badge_id"),
)
HEADERS = ("Retry-After", "X-Request-Id", "Location", "Content-Type", "Set-Cookie", "WWW-Authenticate")
ENCODINGS = ("", "gzip", "deflate", "gzip, gzip", "br", "zstd", "gzip, br", "identity", ",")

_any_text = st.text(st.characters(exclude_categories=()), max_size=80)
_parts = [("x", 700), ("a", 33_000), ("word ", 6_600), ("a", 70_000), ("/x?a", 20_000), ("../", 9)]
_long_text = st.sampled_from(_parts).map(lambda part: part[0] * part[1])
_odd_text = st.sampled_from(
    [
        *("\0", "\ud800", "/x?page=2&\ud800=1", "javascript:alert(1)", "https://user:password@credly.example.org/"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9998-12-31T23:59:59Z", "2026-13-45"),
    ]
)
_numbers = st.integers() | st.floats() | st.sampled_from([10**30, 1e300])
_scalars = st.none() | st.booleans() | _numbers | _any_text | _odd_text | _long_text
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | _any_text, inner, max_size=4),
    max_leaves=8,
)
_rows = st.dictionaries(st.sampled_from(FIELDS), _odd_text | _long_text | _values, min_size=1, max_size=6)
_bodies = st.one_of(
    st.just(PROPER),
    st.builds(
        lambda data, metadata: {"data": data, "metadata": metadata}, _rows | st.lists(_rows, max_size=3), _values
    ),
    _values.map(lambda value: {"data": value}),
    _values,
    st.binary(max_size=60),
    st.just(TOO_LONG),
)
_waits = st.sampled_from(["0", "-1", "9" * 40, "1e5", "Fri, 31 Dec 9999 23:59:59 -2359", "0,5"])
_header_text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=80) | _waits
_odd_statuses = [200, 201, 204, 299, 302, 400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 503, 999]
_statuses = st.just(0) | st.sampled_from(_odd_statuses)


@dataclass
class AnyAnswer:
    """One answer; `odd` is written into each row and the metadata of the proper one. Status 0 is the proper one."""

    status: int
    body: object
    odd: dict[str, object]
    headers: dict[str, str]
    encoding: str
    is_encoded: bool

    async def play(self, exchange: Exchange, writer: asyncio.StreamWriter) -> int:
        raw = self._raw(exchange)
        if self.is_encoded:
            for name in self.encoding.split(", "):
                raw = gzip.compress(raw) if name == "gzip" else zlib.compress(raw) if name == "deflate" else raw
        named = self.headers | ({"Content-Encoding": self.encoding} if self.encoding else {})
        status = self.status or exchange.status
        writer.write(head(status, length=len(raw), **named) + raw)
        await writer.drain()
        return status

    def _raw(self, exchange: Exchange) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if self.body == TOO_LONG:
            return b" " * 6_000_000
        if self.body != PROPER:
            return json.dumps(self.body).encode()
        answer: dict[str, Any] = json.loads(json.dumps(exchange.answer))
        data = answer.get("data")
        for row in [answer.get("metadata"), *(data if isinstance(data, list) else [data])]:
            if isinstance(row, dict):
                row.update(self.odd)
        return json.dumps(answer).encode()


any_answers = st.builds(
    AnyAnswer,
    status=_statuses,
    body=_bodies,
    odd=_rows,
    headers=st.dictionaries(st.sampled_from(HEADERS), _header_text, max_size=3),
    encoding=st.sampled_from(ENCODINGS),
    is_encoded=st.booleans(),
)


def as_kind(answer: AnyAnswer) -> Misbehaviour:
    """Return it as one of the server's ways to answer; its name shows it when a test fails."""
    return Misbehaviour(repr(answer)[:2_000], answer.play)
