"""Leaves nothing standing that a run made, also where the reply was lost that a badge was announced in."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from scripts.sandbox.calls import Badge, Sandbox

_TRIES = 3
_MOST_PAGES = 10
_CLOCKS_DIFFER = timedelta(minutes=10)
_ENDED = ("revoked", "rejected")


@dataclass
class CleanUp:
    ended: list[str] = field(default_factory=list)
    standing: list[str] = field(default_factory=list)


def clean_up(box: Sandbox) -> CleanUp:
    """Revoke or delete every badge of this run, and return which ones still stand."""
    done = CleanUp()
    _end_all(box, list(box.made), done)
    deadline = time.monotonic() + (box.grace if box.unsure else 0)
    while True:
        found = list(_listed(box))
        _end_all(box, [row["id"] for row in found], done)
        box.unsure -= {row["recipient_email"] for row in found}
        if not box.unsure or time.monotonic() > deadline:
            return done
        time.sleep(1)


def _end_all(box: Sandbox, waiting: list[str], done: CleanUp) -> None:
    """The newest first, since a badge that has a successor cannot be revoked; successors that come to light as well."""
    while waiting:
        badge_id = waiting.pop()
        if badge_id in (*done.ended, *done.standing):
            continue
        successor = _end(box, badge_id, done)
        if successor:
            waiting.append(successor)


def _end(box: Sandbox, badge_id: str, done: CleanUp) -> str | None:
    """End one badge and return the id of its successor, if it has one."""
    try:
        reply = _tried(box.get, f"/badges/{badge_id}")
        badge = dict(reply.json()["data"]) if reply.status_code == 200 else {}
        if reply.status_code == 404 or (badge and not _stands(badge)):
            done.ended.append(badge_id)
        elif badge and not _is_ours(box, badge):
            return None  # an answer named it that was not about our badge
        else:
            (done.ended if _is_ended(box, badge_id) else done.standing).append(badge_id)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        done.standing.append(badge_id)
        return None
    return badge.get("replacement_badge_id")


def _is_ended(box: Sandbox, badge_id: str) -> bool:
    if _tried(box.revoke, badge_id).status_code == 200:
        return True
    return _tried(box.send, "DELETE", f"{box.path}/badges/{badge_id}").status_code in (204, 404)


def _stands(badge: Badge) -> bool:
    return badge.get("state") not in _ENDED and not badge.get("replacement_badge_id")


def _listed(box: Sandbox) -> Iterator[Badge]:
    """Badges of this run that stand, from the beginning of the list of all, the newest first.

    Not by a filter, which may be ignored: each row is compared with the mark of this run.
    """
    for page in range(1, _MOST_PAGES + 1):
        try:
            reply = _tried(box.get, "/badges", params={"sort": "-created_at", "page": str(page)})
            rows = reply.json()["data"] if reply.status_code == 200 else []
            yield from [row for row in rows if _is_ours(box, row) and _stands(row)]
            if not rows or datetime.fromisoformat(rows[-1]["created_at"]) < box.began - _CLOCKS_DIFFER:
                return
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return


def _is_ours(box: Sandbox, row: Badge) -> bool:
    return str(row.get("recipient_email") or "").lower().startswith(box.mark)


def _tried(call: Any, *arguments: Any, **more: Any) -> httpx.Response:
    """Make a call that may be repeated, again after a failure on the way or at the server."""
    for left in reversed(range(_TRIES)):
        try:
            reply: httpx.Response = call(*arguments, **more)
        except httpx.HTTPError:
            if not left:
                raise
        else:
            if reply.status_code < 500 or not left:
                return reply
        time.sleep(1)
    raise AssertionError
