"""Webhooks and events: what is told, to whom, how often, and what can be asked for afterwards (11).

The receiver is a server of our own on this machine.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.contract.conftest import ORGANIZATION, STRANGER, TEMPLATES, Api
from tests.support.receiver import Receiver, running_receiver
from tests.support.standin import Standin
from tests.support.waiting import until


@pytest.fixture
def receiver(standin: Standin) -> Iterator[Receiver]:
    with running_receiver(usual=200) as receiver:
        standin.control("PUT", f"organizations/{ORGANIZATION}/webhook", {"url": receiver.url})
        yield receiver


def told(receiver: Receiver, count: int) -> list[dict[str, Any]]:
    until(lambda: len(receiver.messages) >= count, what=f"{count} events were delivered")
    return list(receiver.messages)


def attempts(standin: Standin) -> list[int]:
    """How often each event was tried that is to be delivered, or was."""
    events = standin.control("GET", "events")["events"]
    return [each["attempts"] for each in events if each["deliver_at"] or each["delivered_at"]]


def _tried(standin: Standin, times: int) -> bool:
    return attempts(standin) == [times]


def test_a_receiver_gets_what_happened_but_not_to_whom(api: Api, receiver: Receiver) -> None:
    badge = api.issue()

    (event,) = told(receiver, 1)
    assert event.keys() == {"id", "organization_id", "event_type", "occurred_at"}
    assert (event["organization_id"], event["event_type"]) == (ORGANIZATION, "badge.created")
    assert event["occurred_at"].endswith("Z")
    fetched = api.http.get(f"{api.path}/events/{event['id']}").json()["data"]
    assert fetched == event | {"badge": api.http.get(f"{api.path}/badges/{badge['id']}").json()["data"]}


def test_what_happens_to_a_badge_is_an_event_each_time(api: Api, standin: Standin, receiver: Receiver) -> None:
    badge = api.issue()
    standin.as_earner(badge["id"], "accept")
    standin.as_earner(badge["id"], "private")
    standin.as_earner(badge["id"], "private")
    body = {"reason": "a mistake", "suppress_revoke_notification_email": True}
    assert api.http.put(f"{api.path}/badges/{badge['id']}/revoke", json=body).status_code == 200
    assert api.http.delete(f"{api.path}/badges/{badge['id']}").status_code == 204

    told(receiver, 5)
    types = [f"badge.{name}" for name in ("created", "state.changed", "privacy.changed", "state.changed", "deleted")]
    assert [each["event_type"] for each in receiver.messages] == types
    last = api.http.get(f"{api.path}/events/{receiver.messages[-1]['id']}").json()["data"]
    assert last["badge"]["id"] == badge["id"]


def test_a_replacement_is_a_new_badge(api: Api, receiver: Receiver) -> None:
    badge = api.issue()
    body = {"badge_template_id": api.template, "issued_at": "2026-11-02 09:00:00 +0100"}
    new = api.http.post(f"{api.path}/badges/{badge['id']}/replace", json=body).json()["data"]

    event = told(receiver, 2)[1]
    assert event["event_type"] == "badge.created"
    assert api.http.get(f"{api.path}/events/{event['id']}").json()["data"]["badge"]["id"] == new["id"]


def test_a_template_that_changes_is_an_event(api: Api, standin: Standin, receiver: Receiver) -> None:
    standin.template_state(TEMPLATES["active"], "archived")

    (event,) = told(receiver, 1)
    assert event["event_type"] == "badge_template.changed"
    template = api.http.get(f"{api.path}/events/{event['id']}").json()["data"]["badge_template"]
    assert (template["id"], template["state"]) == (TEMPLATES["active"], "archived")


@pytest.mark.parametrize("status", [201, 204, 302, 404, 500])
def test_only_200_counts(api: Api, standin: Standin, receiver: Receiver, status: int) -> None:
    standin.settings(webhook_retry_seconds=0.01)
    receiver.answers = [status, status]
    api.issue()

    told(receiver, 3)
    assert len({each["id"] for each in receiver.messages}) == 1
    until(lambda: standin.control("GET", "events")["events"][-1]["delivered_at"], what="it counts as delivered")
    assert attempts(standin) == [3]


def test_it_is_tried_again_at_growing_intervals_for_25_days(api: Api, standin: Standin, receiver: Receiver) -> None:
    receiver.answers = [500] * 1000
    api.issue()
    waits = []
    for tried in range(1, 4):
        until(partial(_tried, standin, tried), what=f"try {tried}")
        due = standin.control("GET", "events")["events"][-1]
        waits.append(60 * 2 ** (tried - 1))
        standin.control("POST", "clock", {"seconds": sum(waits) + 1})
    until(lambda: attempts(standin) == [4], what="the clock made it due")
    assert due["deliver_at"] > due["occurred_at"]
    standin.control("POST", "clock", {"seconds": 25 * 86400 - 60})
    until(lambda: attempts(standin) == [], what="it is given up")
    assert len(receiver.messages) == 5


def test_a_receiver_that_is_slow_or_away_is_tried_again(api: Api, standin: Standin, receiver: Receiver) -> None:
    standin.settings(webhook_retry_seconds=0.01, webhook_timeout_seconds=0.05)
    receiver.hold()
    api.issue()
    until(lambda: attempts(standin)[0] > 1, what="it was tried twice")
    receiver.release()
    until(lambda: standin.control("GET", "events")["events"][-1]["delivered_at"], what="it is delivered in the end")

    standin.control("PUT", f"organizations/{ORGANIZATION}/webhook", {"url": "http://127.0.0.1:1/nobody-listens"})
    api.issue()
    until(lambda: attempts(standin)[1] > 1, what="it was tried twice")


def test_deliveries_can_repeat_and_come_in_another_order(api: Api, standin: Standin, receiver: Receiver) -> None:
    standin.settings(webhooks_are_held=True, webhooks_newest_first=True, webhooks_repeat=True)
    badges = [api.issue()["id"] for _ in range(3)]
    assert receiver.messages == []
    standin.settings(webhooks_are_held=False)

    told(receiver, 6)
    events = [api.http.get(f"{api.path}/events/{each['id']}").json()["data"] for each in receiver.messages[::2]]
    assert [each["badge"]["id"] for each in events] == badges[::-1]
    assert set(Counter(each["id"] for each in receiver.messages).values()) == {2}
    standin.settings(webhooks_repeat=False)
    standin.control("POST", f"events/{events[0]['id']}/deliver")
    assert told(receiver, 7)[6]["id"] == events[0]["id"]


def test_events_are_listed_for_who_missed_them(api: Api, standin: Standin) -> None:
    before = api.http.get(f"{api.path}/events").json()["metadata"]["total_count"]
    for _ in range(51):
        api.issue()

    reply = api.http.get(f"{api.path}/events").json()
    assert reply["metadata"]["total_count"] == before + 51
    assert len(reply["data"]) == 50
    second = api.http.get(f"{api.path}/events", params={"page": "2"}).json()
    assert second["data"][0]["event_type"] == "badge.created"
    assert not {each["id"] for each in reply["data"]} & {each["id"] for each in second["data"]}
    assert attempts(standin) == []  # nobody was to be told


def test_a_listed_event_has_its_badge_or_template_like_a_single_one(api: Api, standin: Standin) -> None:
    badge = api.issue()
    standin.template_state(TEMPLATES["draft"], "archived")

    template_event, badge_event = api.http.get(f"{api.path}/events").json()["data"][:2]

    assert badge_event["badge"] == api.http.get(f"{api.path}/badges/{badge['id']}").json()["data"]
    assert template_event["badge_template"]["state"] == "archived"
    for event in (template_event, badge_event):
        assert event == api.http.get(f"{api.path}/events/{event['id']}").json()["data"]


def test_nobody_elses_event_is_found(api: Api, standin: Standin) -> None:
    standin.seed(templates=[{"id": "of-a-stranger", "organization_id": STRANGER, "state": "active"}])
    theirs = standin.control("GET", "events")["events"][-1]

    assert theirs["organization_id"] == STRANGER
    assert api.http.get(f"{api.path}/events/{theirs['id']}").status_code == 404
    assert theirs["id"] not in {each["id"] for each in api.http.get(f"{api.path}/events").json()["data"]}


def test_nobody_outside_this_machine_is_told(api: Api, standin: Standin) -> None:
    reply = api.http.put(
        f"{standin.root_url}/_standin/organizations/{ORGANIZATION}/webhook", json={"url": "https://example.org/hook"}
    )
    assert reply.status_code == 400
    standin.seed(organizations=[{"id": ORGANIZATION, "name": "Contract", "webhook_url": "https://example.org/hook"}])
    api.issue()
    until(lambda: attempts(standin) == [], what="it is not to be delivered")
