"""Lists: envelope, pages, filters in both forms, order, the bulk read, the lag (docs/reference/credly-api.md)."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.contract.conftest import TEMPLATES, Api
from tests.support.standin import Standin


@pytest.fixture
def three(standin: Standin, api: Api) -> dict[str, str]:
    """Three badges of known people: pending, accepted and private, revoked."""
    standin.seed(accounts=[{"addresses": ["ada@example.org", "countess@example.org"]}])
    made = {}
    for number, name in enumerate(("ada", "bob", "cyd")):
        badge = api.issue(
            recipient_email=f"{name}@example.org",
            issuer_earner_id=f"person-{name}",
            issued_to_first_name="Éva" if name == "ada" else name.title(),
            issued_at=f"2026-11-0{number + 1} 12:00:00 +0000",
            expires_at=f"2027-01-0{number + 1} 00:00:00 +0000",
        )
        made[name] = str(badge["id"])
    standin.as_earner(made["bob"], "accept")
    standin.as_earner(made["bob"], "private")
    api.http.put(f"{api.path}/badges/{made['cyd']}/revoke", json={"reason": "x"})
    return made


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"recipient_email": "ADA@example.org"}, "ada"),
        ({"recipient_email_all": "countess@example.org"}, "ada"),
        ({"issuer_earner_id": "person-bob"}, "bob"),
        ({"issuer_earner_id": "person-bob,person-cyd"}, "bob cyd"),
        ({"badge_template_id": TEMPLATES["active"]}, "ada bob cyd"),
        ({"badge_template_id": TEMPLATES["draft"]}, ""),
        ({"state": "pending,accepted"}, "ada bob"),
        ({"state": "revoked"}, "cyd"),
        ({"public": "false"}, "bob"),
        ({"public": "true", "state": "pending"}, "ada"),
        ({"query": "cyd"}, "cyd"),
        ({"query": "BOB@"}, "bob"),
        ({"query": "éva"}, "ada"),
        ({"query": "_"}, ""),
        ({"issued_at_min": "2026-11-02"}, "bob cyd"),
        ({"issued_at_max": "2026-11-02"}, "ada bob"),
        ({"expires_at_date_max": "2027-01-01"}, "ada"),
        ({"issued_at_max": "9999-12-31"}, "ada bob cyd"),
        ({"issued_at_min": "9999-12-31T23:59:59-14:00"}, "ada bob cyd"),
        ({"issued_at_about": "2026-11-02"}, "ada bob cyd"),
        ({"an_unknown_key": "x"}, "ada bob cyd"),
    ],
)
@pytest.mark.parametrize("form", ["colons", "brackets"])
def test_filters(api: Api, three: dict[str, str], form: str, filters: dict[str, str], found: str) -> None:
    if form == "colons":
        query = {"filter": "|".join(f"{key}::{value}" for key, value in filters.items())}
    else:
        query = {f"filter[{key}]": value for key, value in filters.items()}

    assert {badge["id"] for badge in api.badges(**query)} == {three[name] for name in found.split()}


def test_a_term_that_is_none_is_ignored(api: Api, three: dict[str, str]) -> None:
    assert [badge["id"] for badge in api.badges(filter="nonsense|state::pending|")] == [three["ada"]]


def test_all_badges_are_listed_whatever_their_state(api: Api, three: dict[str, str]) -> None:
    assert {badge["id"] for badge in api.badges()} == set(three.values())


@pytest.mark.parametrize(
    ("sort", "order"),
    [("issued_at", "ada bob cyd"), ("-issued_at", "cyd bob ada"), ("-created_at", "cyd bob ada"), ("", "cyd bob ada")],
)
def test_order(api: Api, three: dict[str, str], sort: str, order: str) -> None:
    found = [badge["id"] for badge in api.badges(**({"sort": sort} if sort else {}))]

    assert found == [three[name] for name in order.split()]


@pytest.mark.parametrize("prefix", ["/api/v1", "/v1"])
def test_pages_have_fifty_rows_and_absolute_addresses(standin: Standin, api: Api, prefix: str) -> None:
    standin.settings(next_page_prefix=prefix)
    for _ in range(51):
        api.issue()
    path = f"{api.path}/badges"

    first = api.http.get(path, params={"filter": "state::pending", "page_size": "5"}).json()
    metadata = first["metadata"]
    second = api.http.get(metadata["next_page_url"]).json()

    assert (len(first["data"]), len(second["data"])) == (50, 1)
    assert {name: metadata[name] for name in ("count", "current_page", "total_count", "total_pages", "per")} == {
        "count": 50,
        "current_page": 1,
        "total_count": 51,
        "total_pages": 2,
        "per": 50,
    }
    assert metadata["previous_page_url"] is None
    assert urlsplit(metadata["next_page_url"]).path == f"{prefix}{path}"
    assert second["metadata"]["next_page_url"] is None
    assert "page=1" in second["metadata"]["previous_page_url"]


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 30])
def test_a_page_is_a_number_from_one(api: Api, page: str) -> None:
    assert api.http.get(f"{api.path}/badges", params={"page": page}).status_code == 400


def bulk(api: Api, **query: str) -> dict[str, Any]:
    """The first page of the bulk read."""
    reply = api.http.get(f"{api.path}/high_volume_issued_badge_search", params=query)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def query_of(page: dict[str, Any]) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(page["metadata"]["next_page_url"]).query)


def test_the_bulk_read_goes_on_by_a_cursor_and_counts_nothing(standin: Standin, api: Api) -> None:
    standin.settings(bulk_rows=2)
    made = [api.issue()["id"] for _ in range(3)]

    first = bulk(api, badge_format="minimal", filter="state::pending")
    second = api.http.get(first["metadata"]["next_page_url"]).json()

    assert [badge["id"] for badge in (*first["data"], *second["data"])] == made
    assert set(first["metadata"]) == {"next_page_url"}
    assert second["metadata"]["next_page_url"] is None
    assert [key for key, _ in query_of(first)] == ["filter", "badge_format", "search_after[]", "search_after[]"]
    assert dict(query_of(first))["badge_format"] == "default"
    assert set(first["data"][0]["badge_template"]) == {"id", "name"}
    assert not {"evidence", "accept_badge_url"} & set(first["data"][0])
    assert {"evidence", "accept_badge_url"} <= set(second["data"][0])


def test_a_page_of_the_bulk_read_is_larger_than_that_of_other_lists(standin: Standin, api: Api) -> None:
    for _ in range(51):
        api.issue()

    page = bulk(api)

    assert (len(page["data"]), page["metadata"]["next_page_url"]) == (51, None)


def test_the_link_of_the_bulk_read_can_be_assumed_to_keep_the_format(standin: Standin, api: Api) -> None:
    standin.settings(bulk_rows=1, bulk_link_asks_for_full_badges=False)
    for _ in range(2):
        api.issue()

    assert dict(query_of(bulk(api, badge_format="minimal")))["badge_format"] == "minimal"
    assert "badge_format" not in dict(query_of(bulk(api)))


def test_the_cursor_of_the_bulk_read_can_be_assumed_to_be_one_value(standin: Standin, api: Api) -> None:
    standin.settings(bulk_rows=1, bulk_cursor_is_nested=False)
    made = [api.issue()["id"] for _ in range(3)]

    rows, following = [], bulk(api)
    while following["metadata"]["next_page_url"]:
        assert [key for key, _ in query_of(following)] == ["badge_format", "cursor"]
        rows += following["data"]
        following = api.http.get(following["metadata"]["next_page_url"]).json()

    assert [badge["id"] for badge in (*rows, *following["data"])] == made


@pytest.mark.parametrize(
    "cursor",
    [
        {"cursor": "x"},
        {"cursor": "9" * 30},
        {"search_after[]": "2026-11-02T08:00:00.000Z"},
        {"search_after[]": ["1", "2026-11-02T08:00:00.000Z"]},
        {"search_after[]": ["2026-11-02T08:00:00.000Z", "x"]},
    ],
)
def test_an_unknown_cursor_starts_at_the_first_page(standin: Standin, api: Api, cursor: dict[str, Any]) -> None:
    badge = api.issue()

    reply = api.http.get(f"{api.path}/high_volume_issued_badge_search", params=cursor)

    assert [each["id"] for each in reply.json()["data"]] == [badge["id"]]


def test_a_list_may_lag_while_reading_by_id_does_not(standin: Standin, api: Api) -> None:
    standin.settings(list_lag_seconds=60)
    badge = api.issue()

    assert api.badges() == []
    assert api.http.get(f"{api.path}/badges/{badge['id']}").status_code == 200
    standin.control("POST", "clock", {"seconds": 61})
    assert len(api.badges()) == 1


def test_filters_can_be_assumed_to_be_ignored(standin: Standin, api: Api) -> None:
    standin.settings(filters_are_ignored=True)
    api.issue()

    assert len(api.badges(filter="recipient_email::nobody@example.org")) == 1


def test_alternatives_of_earners_and_templates(standin: Standin, api: Api) -> None:
    wanted = [api.issue(issuer_earner_id=earner, recipient_email=f"{earner}@example.org") for earner in ("e-1", "e-2")]
    api.issue(issuer_earner_id="e-3", recipient_email="e-3@example.org")

    found = api.badges(
        filter=f"issuer_earner_id::e-1,e-2|badge_template_id::{api.template},00000000-0000-4000-8000-00000000dead"
    )

    assert {each["id"] for each in found} == {each["id"] for each in wanted}
