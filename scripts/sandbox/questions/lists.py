"""Questions about lists: the bulk read, pages, filters, tokens."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from scripts.sandbox.calls import Sandbox
from scripts.sandbox.findings import NotSeen, Seen, probe

_BULK = "/high_volume_issued_badge_search"
_MINIMAL = ("badge_format", "minimal")
_ASSUMED_ROWS = 1000
Query = list[tuple[str, str]]


def _bulk(box: Sandbox, query: Query | None = None) -> httpx.Response:
    return box.get(_BULK, params=query or [_MINIMAL])


def _first_page(box: Sandbox) -> tuple[list[dict[str, Any]], Query]:
    """Return the first page of the bulk read and the query of the second one."""
    reply = _bulk(box)
    if reply.status_code != 200:
        raise NotSeen(f"the bulk read is not open to this token: {reply.status_code}")
    rows, link = reply.json()["data"], reply.json()["metadata"].get("next_page_url")
    if not link:
        raise NotSeen(f"the organization has {len(rows)} badges, which fit on one page")
    return rows, parse_qsl(urlsplit(link).query, keep_blank_values=True)


@probe("bulk-entitlement", number=3, asks="Is the bulk read open to the organization?", expects="200")
def bulk_entitlement(box: Sandbox) -> Seen:
    status = _bulk(box).status_code
    return Seen(status == 200, str(status))


@probe("bulk-page-size", number=3, asks="How many rows has a page of the bulk read?", expects=f"{_ASSUMED_ROWS} rows")
def bulk_page_size(box: Sandbox) -> Seen:
    """Count the rows of a page that is followed by another."""
    rows, _ = _first_page(box)
    return Seen(len(rows) == _ASSUMED_ROWS, f"{len(rows)} rows", {"rows": len(rows)})


@probe(
    "bulk-cursor",
    number=3,
    asks="Which form has the cursor in next_page_url?",
    expects="search_after[] twice, and the next page goes on behind the first",
)
def bulk_cursor(box: Sandbox) -> Seen:
    """Read the names of its keys, and follow it at our own address."""
    rows, query = _first_page(box)
    own = [(name, value) for name, value in query if name not in ("badge_format", "filter")]
    names = [name for name, _ in own]
    reply = _bulk(box, [_MINIMAL, *own])
    if reply.status_code != 200:
        return Seen(False, f"{_counted(names)}; the next page answers {reply.status_code}")
    goes_on = {row["id"] for row in reply.json()["data"]}.isdisjoint(row["id"] for row in rows)
    way = "goes on behind the first" if goes_on else "repeats rows of the first"
    return Seen(goes_on and names == ["search_after[]"] * 2, f"{_counted(names)}; the next page {way}")


def _counted(names: list[str]) -> str:
    times = {1: "once", 2: "twice"}
    counted = [f"{name} {times.get(names.count(name), 'often')}" for name in dict.fromkeys(names)]
    return ", ".join(counted) or "no key"


@probe("bulk-format", number=3, asks="Which badge_format has next_page_url after minimal?", expects="default")
def bulk_format(box: Sandbox) -> Seen:
    _, query = _first_page(box)
    written = dict(query).get("badge_format", "none")
    shown = written if written in ("default", "minimal", "none") else "another one"
    return Seen(shown == "default", shown)


@probe("page-prefix", number=3, asks="How does the path in next_page_url of a list begin?", expects="/api/v1")
def page_prefix(box: Sandbox) -> Seen:
    link = _all_badges(box)["metadata"].get("next_page_url")
    if not link:
        raise NotSeen("the organization's badges fit on one page")
    prefix = urlsplit(link).path.partition("/organizations/")[0]
    return Seen(prefix == "/api/v1", prefix or "nothing before /organizations")


@probe("filters", asks="Is a list filtered by the address that is asked for?", expects="no stranger is listed")
def filters(box: Sandbox) -> Seen:
    """Ask for an address that nobody has, where there are badges of others."""
    if not _all_badges(box)["data"]:
        raise NotSeen("the organization has no badge yet")
    reply = box.get("/badges", params={"filter": f"recipient_email::{box.address('nobody')}"})
    if reply.status_code != 200:
        raise NotSeen(f"the filter was answered with {reply.status_code}")
    count = len(reply.json()["data"])
    return Seen(count == 0, f"{count} strangers are listed" if count else "no stranger is listed")


@probe("alternatives", asks="Does a filter take two earners with a comma between?", expects="both are listed")
def alternatives(box: Sandbox) -> Seen:
    """Ask for the earners of two badges that are listed."""
    rows = {row["issuer_earner_id"]: row for row in _all_badges(box)["data"] if row.get("issuer_earner_id")}
    earners = [earner for earner in rows if not set(earner) & set("|,:")][:2]
    if len(earners) < 2:
        raise NotSeen("no badges of two earners are listed")
    reply = box.get("/badges", params={"filter": f"issuer_earner_id::{','.join(earners)}"})
    if reply.status_code != 200:
        raise NotSeen(f"the filter was answered with {reply.status_code}")
    found = set(earners) & {row.get("issuer_earner_id") for row in reply.json()["data"]}
    return Seen(len(found) == len(earners), "both are listed" if len(found) == 2 else f"{len(found)} of two")


@probe("events", asks="Which events are listed?", expects="the newest first, each with its badge or template")
def events(box: Sandbox) -> Seen:
    reply = box.get("/events")
    if reply.status_code != 200:
        return Seen(False, f"the list could not be read: {reply.status_code}")
    rows = reply.json()["data"]
    if len(rows) < 2:
        raise NotSeen(f"{len(rows)} events are listed")
    moments = [str(row.get("occurred_at")) for row in rows]
    order = "the newest first" if moments == sorted(moments, reverse=True) else "not the newest first"
    whole = sum(bool(row.get("badge") or row.get("badge_template")) for row in rows)
    return Seen(order == "the newest first" and whole == len(rows), f"{order}; {whole} of {len(rows)} with a subject")


def _all_badges(box: Sandbox) -> dict[str, Any]:
    reply = box.get("/badges")
    if reply.status_code != 200:
        raise NotSeen(f"the list could not be read: {reply.status_code}")
    return dict(reply.json())


@probe("token-values", number=8, asks="Are values shown in the list of tokens?", expects="this token's value is shown")
def token_values(box: Sandbox) -> Seen:
    """Look for the token in use among those listed."""
    reply = box.get("/authorization_tokens")
    if reply.status_code != 200:
        raise NotSeen(f"the list could not be read: {reply.status_code}")
    values = [row.get("token") for row in reply.json()["data"]]
    if box.target.token in values:
        return Seen(True, "this token's value is shown")
    filled = sum(bool(value) for value in values)
    return Seen(False, f"{len(values)} tokens are listed, {filled} with some text as value, none with that of this one")


PROBES = (
    bulk_entitlement,
    bulk_page_size,
    bulk_cursor,
    bulk_format,
    page_prefix,
    filters,
    alternatives,
    events,
    token_values,
)
