"""What goes wrong on demand at the stand-in, seen from a client's side and in what the stand-in holds afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from credly.standin.limits import Limits
from tests.support.standin import Standin
from tests.support.world import BADGE, ORGANIZATION, SEED, TOKEN

BADGES = f"/organizations/{ORGANIZATION}/badges"


@pytest.fixture
async def http(standin: Standin) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=standin.base_url, auth=(TOKEN, ""), timeout=20) as client:
        yield client


async def test_an_answer_in_place_of_processing(standin: Standin, http: httpx.AsyncClient) -> None:
    standin.fault("answer", status=429, headers={"Retry-After": "7"})

    throttled = await http.post(BADGES, json=BADGE)
    afterwards = await http.post(BADGES, json=BADGE)

    assert (throttled.status_code, throttled.headers["retry-after"], throttled.content) == (429, "7", b"")
    assert (afterwards.status_code, len(standin.badges())) == (201, 1)


async def test_an_invented_answer_may_have_a_request_id_of_its_own(standin: Standin, http: httpx.AsyncClient) -> None:
    standin.fault("answer", headers={"X-Request-Id": "known-id"})
    standin.fault("answer_after")

    ids = [(await http.get(BADGES)).headers.get_list("x-request-id") for _ in range(2)]

    assert ids[0] == ["known-id"]
    assert len(ids[1][0]) == 36


async def test_an_answer_after_processing_hides_what_was_made(standin: Standin, http: httpx.AsyncClient) -> None:
    standin.fault("answer_after", status=502, content="<html>Bad Gateway</html>")

    reply = await http.post(BADGES, json=BADGE)

    assert (reply.status_code, reply.headers["content-type"], len(standin.badges())) == (502, "text/html", 1)


HTML = "<html><body>Forbidden</body></html>"


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("form", [{"message": "Not for you."}, {"content": HTML}], ids=["envelope", "html"])
async def test_a_single_call_is_refused_in_credlys_words_or_a_gateways(
    standin: Standin, http: httpx.AsyncClient, form: dict[str, str], status: int
) -> None:
    badge_id = (await http.post(BADGES, json=BADGE)).json()["data"]["id"]
    standin.fault("answer", method="GET", path=f"/badges/{badge_id}$", status=status, **form)

    calls = [f"/organizations/{ORGANIZATION}", *[f"{BADGES}/{badge_id}"] * 2]
    before, refused, after = [await http.get(path) for path in calls]

    assert [before.status_code, refused.status_code, after.status_code] == [200, status, 200]
    if "message" in form:
        assert refused.json() == {"data": {"message": "Not for you."}, "metadata": None}
        assert refused.headers["content-type"] == "application/json"
    else:
        assert (refused.text, refused.headers["content-type"]) == (HTML, "text/html")


async def test_an_invented_refusal_looks_like_the_stand_ins_own(standin: Standin, http: httpx.AsyncClient) -> None:
    own = await http.post(BADGES, json=BADGE | {"recipient_email": ""})
    words = {"message": own.json()["data"]["message"], "errors": {"recipient_email": "can't be blank"}}
    standin.fault("answer", status=422, **words)

    invented = await http.post(BADGES, json=BADGE)

    assert (invented.status_code, invented.json()) == (own.status_code, own.json())
    assert invented.headers["content-type"] == own.headers["content-type"]


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 410, 422, 429, 500])
@pytest.mark.parametrize(
    ("form", "text"),
    [({}, ""), ({"message": "No."}, '{"data":{"message":"No."},"metadata":null}'), ({"content": HTML}, HTML)],
    ids=["empty", "envelope", "html"],
)
async def test_any_answer_may_follow_on_a_badge_that_was_made(
    standin: Standin, http: httpx.AsyncClient, form: dict[str, str], text: str, status: int
) -> None:
    headers = {"Location": "/v1/elsewhere", "Retry-After": "3", "Content-Type": "text/plain"}
    standin.fault("answer_after", method="POST", path="/badges$", status=status, headers=headers, **form)

    reply = await http.post(BADGES, json=BADGE)

    assert (reply.status_code, len(standin.badges())) == (status, 1)
    assert reply.text == text
    assert {name: reply.headers.get_list(name) for name in headers} == {
        name: [value] for name, value in headers.items()
    }


@pytest.mark.parametrize("marked", ["ada@example.org", '"person-1"'])
async def test_only_the_calls_about_one_person_are_refused(
    standin: Standin, http: httpx.AsyncClient, marked: str
) -> None:
    standin.fault("answer", method="POST", body=marked, status=422, message="No.", count=None)
    people = [("bob@example.org", "person-10"), ("ada@example.org", "person-1"), ("cyd@example.org", "person-11")]

    replies = [
        await http.post(BADGES, json=BADGE | {"recipient_email": email, "issuer_earner_id": earner})
        for email, earner in people
    ]

    assert [reply.status_code for reply in replies] == [201, 422, 201]
    assert [badge["issuer_earner_id"] for badge in standin.badges()] == ["person-10", "person-11"]


@pytest.mark.parametrize(("action", "made"), [("drop", 0), ("drop_after", 1), ("cut_after", 1)])
async def test_a_connection_that_is_dropped(standin: Standin, http: httpx.AsyncClient, action: str, made: int) -> None:
    standin.fault(action)

    with pytest.raises(httpx.TransportError):
        await http.post(BADGES, json=BADGE)

    assert (len(standin.badges()), len(standin.requests())) == (made, 1)


@pytest.mark.parametrize(("action", "made_while_held"), [("hold", 0), ("hold_after", 1)])
async def test_a_request_is_held_until_it_is_released(
    standin: Standin, http: httpx.AsyncClient, action: str, made_while_held: int
) -> None:
    standin.fault(action)
    sending = asyncio.create_task(http.post(BADGES, json=BADGE))
    await asyncio.to_thread(standin.until_held)

    assert (len(standin.badges()), sending.done()) == (made_while_held, False)
    standin.control("POST", "release", {})

    assert (await sending).status_code == 201
    assert (len(standin.badges()), standin.faults()["held"]) == (1, 0)


@pytest.mark.parametrize(("action", "made"), [("hold", 0), ("hold_after", 1)])
async def test_a_held_request_can_be_dropped(standin: Standin, http: httpx.AsyncClient, action: str, made: int) -> None:
    standin.fault(action)
    sending = asyncio.create_task(http.post(BADGES, json=BADGE))
    await asyncio.to_thread(standin.until_held)
    standin.control("POST", "release", {"drop": True})

    with pytest.raises(httpx.TransportError):
        await sending

    assert len(standin.badges()) == made


@pytest.mark.parametrize("action", ["slow", "drip_after"])
async def test_a_slow_reply_is_whole(standin: Standin, http: httpx.AsyncClient, action: str) -> None:
    standin.fault(action, seconds=0.2)
    began = time.monotonic()

    reply = await http.post(BADGES, json=BADGE)

    assert time.monotonic() - began >= 0.19
    assert reply.json()["data"]["recipient_email"] == "ada@example.org"


async def test_a_token_ends_in_the_middle(standin: Standin, http: httpx.AsyncClient) -> None:
    standin.fault("expire_tokens", skip=1)

    statuses = [(await http.get(BADGES)).status_code for _ in range(3)]

    assert statuses == [200, 401, 401]


async def test_a_template_is_archived_in_the_middle(standin: Standin, http: httpx.AsyncClient) -> None:
    standin.fault("archive_templates")

    reply = await http.post(BADGES, json=BADGE)

    assert (reply.status_code, standin.badges()) == (422, [])


async def test_a_fault_is_for_the_requests_that_it_names(standin: Standin, http: httpx.AsyncClient) -> None:
    standin.fault("answer", method="POST", path="/badges$", body="bob@", count=None)

    assert (await http.get(BADGES)).status_code == 200
    assert (await http.post(BADGES, json=BADGE)).status_code == 201
    bob = BADGE | {"recipient_email": "bob@example.org"}
    assert [(await http.post(BADGES, json=bob)).status_code for _ in range(2)] == [503, 503]
    assert standin.faults()["happened"] == {"answer": 2}

    standin.control("DELETE", "faults")
    assert (await http.post(BADGES, json=bob)).status_code == 201


async def test_a_share_of_all_requests_goes_wrong_and_each_time_the_same(
    standin: Standin, http: httpx.AsyncClient
) -> None:
    async def results() -> list[int | str]:
        standin.control("POST", "reset")
        standin.seed(**SEED)
        standin.settings(fault_share=0.3)
        found: list[int | str] = []
        for _ in range(60):
            try:
                found.append((await http.get(BADGES)).status_code)
            except httpx.TransportError:
                found.append("dropped")
        return found

    first = await results()

    assert set(first) == {200, 429, 502, 503, "dropped"}
    assert first == await results()


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ({"action": "explode"}, "action"),
        ({"action": "drop", "path": "("}, "path"),
        ({"action": "drop", "count": 0}, "count"),
    ],
)
def test_a_fault_that_is_none_is_refused_in_words(standin: Standin, fault: dict[str, object], wrong: str) -> None:
    reply = httpx.post(f"{standin.root_url}/_standin/faults", json=fault)

    assert reply.status_code == 400
    assert wrong in reply.json()["data"]["message"]


def test_a_limit_takes_so_many_calls_of_an_organization_within_any_second() -> None:
    limits = Limits()
    moments = [0, 0.25, 0.5, 0.75, 1, 1.125, 1.25]

    taken = [limits.take("/v1/organizations/one/badges", calls_per_second=2, now=moment) for moment in moments]

    assert taken == [True, True, False, False, True, False, True]
    assert limits.take("/v1/organizations/two", calls_per_second=2, now=1.25)


async def test_a_call_too_many_is_refused_before_it_is_processed(standin: Standin, http: httpx.AsyncClient) -> None:
    standin.settings(calls_per_second=1)
    statuses = [201]
    while statuses[-1] != 429:
        reply = await http.post(BADGES, json=BADGE | {"recipient_email": f"number{len(statuses)}@example.org"})
        statuses.append(reply.status_code)

    assert reply.headers["retry-after"] == "1"
    assert len(standin.badges()) == statuses[1:].count(201)
