"""OAuth 2 client credentials, which the stand-in offers only where that is assumed (3)."""

from collections.abc import Mapping

import httpx
import pytest

from tests.contract.conftest import ORGANIZATION, STRANGER, Api
from tests.support.standin import Standin

APPLICATION = {"uid": "application", "secret": "invented-secret", "organization_id": ORGANIZATION}
ASKED = {"grant_type": "client_credentials", "client_id": "application", "client_secret": "invented-secret"}


@pytest.fixture
def offered(standin: Standin) -> Standin:
    standin.settings(oauth_is_offered=True)
    standin.seed(applications=[APPLICATION])
    return standin


def ask(
    standin: Standin, changes: Mapping[str, str] | None = None, *, basic: tuple[str, str] | None = None
) -> httpx.Response:
    body = {name: value for name, value in (ASKED | dict(changes or {})).items() if value}
    return httpx.post(f"{standin.root_url}/oauth/token", data=body, auth=basic)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_the_switch_there_is_none(standin: Standin) -> None:
    assert ask(standin).status_code == 404


def test_an_application_gets_a_token_for_two_hours(api: Api, offered: Standin) -> None:
    reply = ask(offered).json()

    assert (reply["token_type"], reply["expires_in"]) == ("Bearer", 7200)
    path = f"{offered.base_url}{api.path}/badges"
    headers = bearer(reply["access_token"])
    assert httpx.post(path, json=api.request(), headers=headers).status_code == 201
    offered.control("POST", "clock", {"seconds": 7100})
    assert httpx.get(path, headers=headers).status_code == 200
    offered.control("POST", "clock", {"seconds": 7201})
    assert httpx.get(path, headers=headers).status_code == 401


def test_an_application_may_show_itself_in_the_header(offered: Standin) -> None:
    reply = ask(offered, {"client_id": "", "client_secret": ""}, basic=("application", "invented-secret"))

    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "issued_badges unheard_of"}, 400, "invalid_scope"),
    ],
)
def test_what_is_wrong_is_said_by_its_name(offered: Standin, changes: dict[str, str], status: int, error: str) -> None:
    reply = ask(offered, changes)

    assert (reply.status_code, reply.json()["error"]) == (status, error)


def test_a_token_opens_what_it_was_asked_for(api: Api, offered: Standin) -> None:
    reply = ask(offered, {"scope": "events"}).json()

    assert reply["scope"] == "events"
    root, headers = f"{offered.base_url}{api.path}", bearer(reply["access_token"])
    assert httpx.get(f"{root}/events", headers=headers).status_code == 200
    assert httpx.get(f"{root}/badges", headers=headers).status_code == 403
    assert httpx.get(f"{offered.base_url}/organizations/{STRANGER}/events", headers=headers).status_code == 403


def test_an_organizations_own_token_is_no_bearer_and_a_bearer_cannot_rotate(api: Api, offered: Standin) -> None:
    offered.settings(rotate_is_offered=True)
    root, token = f"{offered.base_url}{api.path}", ask(offered).json()["access_token"]

    assert httpx.get(f"{root}/badges", headers=bearer("invented-token-of-the-contract")).status_code == 401
    assert httpx.post(f"{root}/authorization_tokens/rotate", headers=bearer(token)).status_code == 404
    offered.settings(oauth_is_offered=False)
    assert httpx.get(f"{root}/badges", headers=bearer(token)).status_code == 401
