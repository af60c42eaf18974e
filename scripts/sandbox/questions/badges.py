"""Questions about one badge: what replaces it, what it keeps, what blocks it, and its dates."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import httpx

from scripts.sandbox.calls import Badge, Sandbox
from scripts.sandbox.findings import NotSeen, Seen, probe

_KEPT = ("issued_to_first_name", "issued_to_last_name", "issued_to_middle_name", "recipient_email", "issuer_earner_id")
_CLEARED = ("country", "state_or_province", "evidence", "expires_at")
_EVIDENCE = {"type": "UrlEvidence", "name": "Portfolio", "value": "https://example.org/portfolio"}


def template_of(box: Sandbox) -> str:
    if box.target.template is None:
        raise NotSeen("LAUREL_SANDBOX_TEMPLATE is not set: an active template that does not allow duplicates")
    return box.target.template


def issued(box: Sandbox, code: str, **changes: Any) -> Badge:
    reply = box.post(box.request(code, template=template_of(box), **changes))
    if reply.status_code != 201:
        raise NotSeen(f"no badge could be issued for it: {reply.status_code}")
    return dict(reply.json()["data"])


def _status(reply: httpx.Response, expected: int) -> Seen:
    return Seen(reply.status_code == expected, str(reply.status_code))


@probe("replace-deleted", number=1, asks="Replace of a deleted badge: 404 or 422?", expects="404")
def replace_deleted(box: Sandbox) -> Seen:
    """Delete a badge of our own, then replace it."""
    badge = issued(box, "deleted")
    deleted = box.send("DELETE", f"{box.path}/badges/{badge['id']}")
    if deleted.status_code != 204:
        raise NotSeen(f"the token may not delete a badge: {deleted.status_code}")
    return _status(box.replace(badge["id"], badge_template_id=template_of(box)), 404)


@probe("replace-archived", number=1, asks="Replace with an archived template: 404 or 422?", expects="422")
def replace_archived(box: Sandbox) -> Seen:
    """Name an archived template for the successor."""
    if box.target.archived_template is None:
        raise NotSeen("LAUREL_SANDBOX_TEMPLATE_ARCHIVED is not set")
    badge = issued(box, "archived")
    return _status(box.replace(badge["id"], badge_template_id=box.target.archived_template), 422)


@probe("replace-foreign", number=1, asks="Replace with another organization's template: 404 or 422?", expects="422")
def replace_foreign(box: Sandbox) -> Seen:
    """Name a template of another organization, perhaps one that granted it."""
    if box.target.foreign_template is None:
        raise NotSeen("LAUREL_SANDBOX_TEMPLATE_FOREIGN is not set")
    badge = issued(box, "foreign")
    return _status(box.replace(badge["id"], badge_template_id=box.target.foreign_template), 422)


@probe(
    "replace-takes",
    number=5,
    asks="Does replace take suppress_badge_notification_email, locale and badge_id?",
    expects="201; suppress taken, locale taken",
)
def replace_takes(box: Sandbox) -> Seen:
    """Replace with all three, and look at the successor."""
    badge = issued(box, "takes", locale="fr")
    reply = box.replace(badge["id"], badge_template_id=template_of(box), locale="de", badge_id=badge["id"])
    if reply.status_code != 201:
        return Seen(False, str(reply.status_code))
    wanted = {"suppress_badge_notification_email": True, "locale": "de"}
    successor = reply.json()["data"]
    if hidden := [name for name in wanted if name not in successor]:
        raise NotSeen(f"201, but the answer does not show {' and '.join(hidden)}")
    taken = {name: successor[name] == value for name, value in wanted.items()}
    words = [f"{name.split('_')[0]} {'taken' if yes else 'not taken'}" for name, yes in taken.items()]
    return Seen(all(taken.values()), f"201; {', '.join(words)}")


@probe(
    "replace-clears",
    number=5,
    asks="Does replace clear what is left out?",
    expects="names, address and issuer_earner_id are kept; country, region, evidence and expiry are cleared",
)
def replace_clears(box: Sandbox) -> Seen:
    """Give a badge every optional field, and replace it with none of them."""
    first = issued(
        box,
        "clears",
        issuer_earner_id=box.address("clears"),
        issued_to_middle_name="Q.",
        country_name="Switzerland",
        state_or_province="Bern",
        expires_at=_written(datetime.now(UTC) + timedelta(days=700)),
        evidence=[_EVIDENCE],
    )
    reply = box.replace(first["id"], badge_template_id=template_of(box))
    if reply.status_code != 201:
        raise NotSeen(f"the badge could not be replaced: {reply.status_code}")
    second = reply.json()["data"]
    shown = [name for name in (*_KEPT, *_CLEARED) if first.get(name) and name in second]
    kept = {name for name in shown if _bare(first[name]) == _bare(second[name])}
    expected = {name for name in shown if name in _KEPT}
    return Seen(kept == expected, f"kept: {_list(kept)}; cleared: {_list(set(shown) - kept)}")


def _bare(value: Any) -> Any:
    """A field without the ids that each badge's evidence has of its own."""
    return len(value) if isinstance(value, list) else value


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


@probe(
    "race-once",
    number=6,
    asks="Two equal POSTs at once, of a template that does not allow duplicates?",
    expects="201 and 422",
)
def race_once(box: Sandbox) -> Seen:
    """Credly's own rule must hold although neither call sees the other's badge."""
    template = template_of(box)
    if _allows_duplicates(box, template):
        raise NotSeen("the template LAUREL_SANDBOX_TEMPLATE allows duplicates")
    return _race(box, template, expected=[201, 422])


@probe(
    "race-many", number=6, asks="Two equal POSTs at once, of a template that allows duplicates?", expects="201 and 201"
)
def race_many(box: Sandbox) -> Seen:
    """Here only Laurel's own guards are left."""
    template = box.target.duplicates_template
    if template is None:
        raise NotSeen("LAUREL_SANDBOX_TEMPLATE_DUPLICATES is not set: an active template that allows duplicates")
    if not _allows_duplicates(box, template):
        raise NotSeen("the template LAUREL_SANDBOX_TEMPLATE_DUPLICATES does not allow duplicates")
    return _race(box, template, expected=[201, 201])


def _allows_duplicates(box: Sandbox, template: str) -> bool:
    reply = box.get(f"/badge_templates/{template}")
    if reply.status_code != 200:
        raise NotSeen(f"the template could not be read: {reply.status_code}")
    return bool(reply.json()["data"].get("allow_duplicate_badges"))


def _race(box: Sandbox, template: str, *, expected: list[int]) -> Seen:
    body = box.request("race", template=template)
    together = Barrier(2, timeout=30)

    def post(_: int) -> int:
        together.wait()
        return box.post(body, once=True).status_code

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(post, range(2)))
    if 429 in statuses:
        raise NotSeen("one of the two was throttled: 429")
    return Seen(statuses == expected, " and ".join(map(str, statuses)))


@probe("issued-at-date", number=9, asks="In which zone is issued_at_date?", expects="UTC")
def issued_at_date(box: Sandbox) -> Seen:
    """Issue half an hour before midnight in UTC, and half an hour after it."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
    half = timedelta(minutes=30)
    dates = []
    for moment in (midnight - half, midnight + half):
        badge = issued(box, "midnight", issued_at=_written(moment))
        if not badge.get("issued_at_date"):
            raise NotSeen("the answer does not show issued_at_date")
        dates.append(badge["issued_at_date"])
    before, after = f"{midnight - half:%Y-%m-%d}", f"{midnight + half:%Y-%m-%d}"
    zones = {(before, after): "UTC", (before, before): "a zone behind UTC", (after, after): "a zone ahead of UTC"}
    zone = zones.get((dates[0], dates[1]), "neither the day in UTC nor one beside it")
    return Seen(zone == "UTC", zone)


@probe("expired-blocks", asks="Does an expired badge count as a duplicate?", expects="422")
def expired_blocks(box: Sandbox) -> Seen:
    """Issue a badge that ended, then the same again."""
    template = template_of(box)
    if _allows_duplicates(box, template):
        raise NotSeen("the template LAUREL_SANDBOX_TEMPLATE allows duplicates")
    past = {"issued_at": "2020-01-06 09:00:00 +0000", "expires_at": "2021-01-06 09:00:00 +0000"}
    body = box.request("expired", template=template)
    first = box.post(body | past)
    if first.status_code != 201:
        raise NotSeen(f"a badge that ended in the past is not issued: {first.status_code}")
    return _status(box.post(body), 422)


@probe("future-issued-at", asks="May issued_at lie in the future?", expects="201")
def future_issued_at(box: Sandbox) -> Seen:
    """Issue a badge that begins in a month."""
    moment = _written(datetime.now(UTC) + timedelta(days=30))
    return _status(box.post(box.request("future", template=template_of(box), issued_at=moment)), 201)


@probe("longest-text", asks="How long may a text be?", expects="255 characters pass, 256 do not: 201 and 422")
def longest_text(box: Sandbox) -> Seen:
    """Issue with a middle name of 255 letters, and with one more."""
    template = template_of(box)
    bodies = [box.request("text", template=template, issued_to_middle_name="m" * length) for length in (255, 256)]
    statuses = [box.post(body).status_code for body in bodies]
    return Seen(statuses == [201, 422], " and ".join(map(str, statuses)))


@probe(
    "search-lag", number=7, asks="How long is a new badge missing from lists?", expects="LAUREL_LOOKUP_GRACE at most"
)
def search_lag(box: Sandbox) -> Seen:
    """Look for a new badge by its address until it is listed, for as long as Laurel waits."""
    badge = issued(box, "lag")
    began = time.monotonic()
    while True:
        reply = box.get("/badges", params={"filter": f"recipient_email::{badge['recipient_email']}"})
        if reply.status_code != 200:
            raise NotSeen(f"the list could not be read: {reply.status_code}")
        waited = round(time.monotonic() - began, 1)
        if badge["id"] in [row["id"] for row in reply.json()["data"]]:
            return Seen(waited <= box.grace, f"listed after {waited:g} s", {"seconds": waited})
        if waited > box.grace:
            return Seen(False, f"not listed after {waited:g} s", {"seconds": waited})
        time.sleep(0.5)


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} +0000"


PROBES = (
    *(replace_deleted, replace_archived, replace_foreign, replace_takes, replace_clears),
    *(race_once, race_many, search_lag, issued_at_date, expired_blocks, future_issued_at, longest_text),
)
