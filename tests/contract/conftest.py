"""Whom the contract is held against: the stand-in, or Credly's sandbox where its three variables are set."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.standin import Standin, running_standin

SANDBOX = os.environ.get("LAUREL_SANDBOX_URL", "https://sandbox-api.credly.com/v1")
IN_SANDBOX = "LAUREL_SANDBOX_TOKEN" in os.environ
MARK = os.environ.get("LAUREL_SANDBOX_MARK", "")  # by which `make sandbox` finds badges of a run that was cut off
PAUSE = 1 / float(os.environ.get("LAUREL_SANDBOX_CALLS_PER_SECOND") or 3)
HERE = Path(__file__).parent
ORGANIZATION = "0c0c0c0c-0000-4000-8000-000000000001"
STRANGER = "0c0c0c0c-0000-4000-8000-000000000002"
TEMPLATES = {
    state: f"7c7c7c7c-0000-4000-8000-00000000000{n}" for n, state in enumerate(("active", "draft", "archived"))
}
TOKEN = "invented-token-of-the-contract"
READ_ONLY = "invented-token-that-reads"


@dataclass
class Api:
    """The API under test, and what a test makes through it."""

    http: httpx.Client
    organization: str
    template: str
    token: str = field(default=TOKEN, repr=False)  # pytest shows arguments of a test that fails
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http.event_hooks["response"].append(self._remember)

    def _remember(self, reply: httpx.Response) -> None:
        if reply.request.method == "POST" and reply.status_code == 201:
            rows = json.loads(reply.read())["data"]
            self.made += [row["id"] for row in (rows if isinstance(rows, list) else [rows])]

    @property
    def path(self) -> str:
        return f"/organizations/{self.organization}"

    def request(self, **changes: Any) -> dict[str, Any]:
        """A request for a badge to somebody who has none; a field that is None is left out."""
        plain = {
            "recipient_email": f"{MARK}{uuid4().hex}@example.org",
            "issued_to_first_name": "Ada",
            "issued_to_last_name": "Muster",
            "badge_template_id": self.template,
            "issued_at": "2026-11-02 09:00:00 +0100",
            "suppress_badge_notification_email": True,
        }
        return {name: value for name, value in (plain | changes).items() if value is not None}

    def post(self, **changes: Any) -> httpx.Response:
        return self.http.post(f"{self.path}/badges", json=self.request(**changes))

    def issue(self, **changes: Any) -> dict[str, Any]:
        reply = self.post(**changes)
        assert reply.status_code == 201, reply.text
        return dict(reply.json()["data"])

    def badges(self, **query: str) -> list[dict[str, Any]]:
        reply = self.http.get(f"{self.path}/badges", params=query)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["data"])

    def message(self, reply: httpx.Response) -> str:
        return str(reply.json()["data"]["message"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.contract)
            if IN_SANDBOX:
                item.add_marker(pytest.mark.enable_socket)  # the one place where tests may leave this machine


@pytest.fixture(scope="session")
def shared_contract_standin() -> Iterator[Standin]:
    with running_standin() as standin:
        yield standin


@pytest.fixture
def standin(shared_contract_standin: Standin) -> Standin:
    """The stand-in alone: tests that ask for it are skipped in the sandbox."""
    if IN_SANDBOX:
        pytest.skip("only the stand-in can show this")
    shared_contract_standin.control("POST", "reset")
    shared_contract_standin.seed(
        organizations=[{"id": ORGANIZATION, "name": "Contract"}, {"id": STRANGER, "name": "Stranger"}],
        tokens=[
            {"token": TOKEN, "organization_id": ORGANIZATION},
            {"token": READ_ONLY, "organization_id": ORGANIZATION, "write_enabled": False, "delete_enabled": False},
        ],
        templates=[
            {"id": each, "organization_id": ORGANIZATION, "name": f"Template, {state}", "state": state}
            for state, each in TEMPLATES.items()
        ],
    )
    return shared_contract_standin


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    if IN_SANDBOX:
        yield from _sandbox()
        return
    running: Standin = request.getfixturevalue("standin")
    with httpx.Client(base_url=running.base_url, auth=(TOKEN, ""), timeout=30) as http:
        yield Api(http, ORGANIZATION, TEMPLATES["active"])


def _sandbox() -> Iterator[Api]:
    names = [f"LAUREL_SANDBOX_{name}" for name in ("TOKEN", "ORGANIZATION", "TEMPLATE")]
    if missing := [name for name in names if not os.environ.get(name)]:
        pytest.fail(f"{', '.join(missing)} must be set as well")
    token, organization, template = (os.environ[name] for name in names)
    with httpx.Client(base_url=SANDBOX, auth=(token, ""), timeout=60, headers={"Accept": "application/json"}) as http:
        http.event_hooks["request"].append(lambda _: time.sleep(PAUSE))
        api = Api(http, organization, template, token)
        yield api
        _revoke_all(api)


def _revoke_all(api: Api) -> None:
    """Leave nothing standing: successors first, since a badge that was replaced cannot be revoked."""
    body = {"reason": "made by a test", "suppress_revoke_notification_email": True}
    for badge_id in reversed(api.made):
        api.http.put(f"{api.path}/badges/{badge_id}/revoke", json=body)
    badges = [api.http.get(f"{api.path}/badges/{badge_id}").json()["data"] for badge_id in api.made]
    assert [each["id"] for each in badges if each["state"] != "revoked" and not each["replacement_badge_id"]] == []
