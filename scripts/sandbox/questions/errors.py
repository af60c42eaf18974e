"""Questions about error answers and the rate limit, and what only Credly's support can answer."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx

from scripts.sandbox.calls import Sandbox
from scripts.sandbox.findings import NotSeen, Probe, Seen, probe

_ENVELOPE = "Credly's envelope, data.message"
_MOST_CALLS, _AT_ONCE = 60, 4
_ASSUMED_RATE = 3


def _form_of(box: Sandbox, status: int) -> Seen:
    """Whether every answer of that status so far had the envelope; Laurel relies on no other."""
    found = [each for each in box.errors if each["status"] == status]
    if not found:
        raise NotSeen(f"no {status} was answered")
    odd = [each for each in found if not each["in_envelope"]]
    forms = [f"{each['shape']} as {each['content_type'] or 'no type'}" for each in odd]
    believed = all(each["believed_by_laurel"] for each in odd)
    text = f"{'; '.join(dict.fromkeys(forms))} ({'believed' if believed else 'not believed'} by Laurel)"
    return Seen(not odd, text if odd else _ENVELOPE, {"answers": found})


def _error(status: int, provoke: Callable[[Sandbox], Any]) -> Probe:
    @probe(f"error-{status}", number=2, asks=f"Which form has a {status}?", expects=_ENVELOPE)
    def error(box: Sandbox) -> Seen:
        provoke(box)
        return _form_of(box, status)

    return error


def _unknown_token(box: Sandbox) -> None:
    box.get(token=f"invented-{uuid4().hex}")


def _forbidden(box: Sandbox) -> None:
    """A body without any field cannot make a badge where the token may write after all."""
    if box.target.read_only_token is not None:
        box.send("POST", f"{box.path}/badges", json={}, token=box.target.read_only_token)
    if box.target.foreign_organization is not None:
        box.send("GET", f"/organizations/{box.target.foreign_organization}/badges")
    if not any(each["status"] == 403 for each in box.errors):
        raise NotSeen("no 403 was answered; LAUREL_SANDBOX_TOKEN_READ_ONLY or …_ORGANIZATION_FOREIGN may bring one")


def _unknown_badge(box: Sandbox) -> None:
    box.get(f"/badges/{uuid4()}")
    box.send("GET", f"/organizations/{uuid4()}/badges")


@probe("request-id", number=2, asks="Has an answer an X-Request-Id of its own?", expects="its own")
def request_id(box: Sandbox) -> Seen:
    sent = str(uuid4())
    came = box.get(headers={"X-Request-Id": sent}).headers.get("x-request-id")
    seen = "none" if came is None else "that of the request" if came == sent else "its own"
    return Seen(seen == "its own", seen)


@probe(
    "limit",
    number=4,
    asks="After how many calls comes 429, and with which Retry-After?",
    expects=f"at least {_ASSUMED_RATE} calls in the second before it",
)
def limit(box: Sandbox) -> Seen:
    """Make up to 60 calls, four at a time, until one of them is throttled."""
    if not box.target.probes_limit:
        raise NotSeen("only with LAUREL_SANDBOX_PROBE_LIMIT=1")
    began, passed, refused = time.monotonic(), list[float](), list[tuple[float, float, httpx.Response]]()

    def call(_: int) -> None:
        if refused:
            return
        moment = time.monotonic()
        reply = box.get(once=True)
        if reply.status_code == 429:
            refused.append((moment, time.monotonic(), reply))
        else:
            passed.append(moment)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(call, range(_MOST_CALLS)))
    if not refused:
        raise NotSeen(f"no 429 among {len(passed)} calls in {time.monotonic() - began:.1f} s")
    moment, answered, reply = min(refused, key=lambda each: each[0])
    box.rest(reply)
    # Calls beside it may have begun after it and been counted before it.
    before = sum(moment - 1 <= each <= answered for each in passed)
    wait = reply.headers.get("retry-after")
    text = f"{before} calls in the second before it, {len(passed)} in all; Retry-After: {_form_of_wait(wait)}"
    return Seen(before >= _ASSUMED_RATE, text, {"in_a_second": before, "in_all": len(passed), "retry_after": wait})


def _form_of_wait(header: str | None) -> str:
    if header is None:
        return "none"
    return f"{header} s" if header.strip().isdecimal() else "a date" if "GMT" in header else "another form"


def _only_for_support(_box: Sandbox) -> Seen:
    raise NotSeen("no call can show it: a question for Credly's support")


def _only_for_earners(_box: Sandbox) -> Seen:
    raise NotSeen("only an earner can reject a badge, on Credly's pages")


keep_permanently = probe(
    "keep-permanently",
    number=10,
    asks="May badge ids, states and links be kept permanently (API terms 2.0)?",
    expects="Credly's support permits it",
)(_only_for_support)

rejected_blocks = probe("rejected-blocks", asks="Does a rejected badge count as a duplicate?", expects="it does not")(
    _only_for_earners
)

ERRORS = (
    request_id,
    _error(401, _unknown_token),
    _error(403, _forbidden),
    _error(404, _unknown_badge),
)
# In this order, behind all others: the calls after a 429 may be throttled.
LAST = (limit, _error(429, lambda _box: None), rejected_blocks, keep_permanently)
