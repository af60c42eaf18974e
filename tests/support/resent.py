"""Reading the stand-in's log of requests for what must never be there: a badge that was sent again blindly."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

UNANSWERED = {"drop", "drop_after", "cut_after", "hold", "hold_after", "answer", "answer_after"}


def sent_blindly(requests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return requests to issue to somebody that followed an unclear one with no look-up in between."""
    in_doubt: dict[tuple[str, str], bool] = {}
    found = []
    for request in requests:
        organization = request["path"].split("/")[3]
        if request["method"] in ("POST", "PUT"):
            key = (request["earner"], organization)
            if in_doubt.get(key):
                found.append(request)
            in_doubt[key] = request["fault"] in UNANSWERED and request["status"] != 429
        else:
            for key in in_doubt:
                in_doubt[key] &= key[1] != organization or not _asks_about(request, key[0])
    return found


def _asks_about(request: Mapping[str, Any], earner: str) -> bool:
    one_badge = request["path"].count("/") > 4
    return one_badge or f"issuer_earner_id::{earner}|" in unquote(request["query"])
