"""Nobody's name, address or token comes out of the client, and it does not talk to just anyone."""

import logging
import traceback

import pytest
from pydantic import SecretStr

from tests.support.calls import BADGE_ROW, EMAIL, TOKEN, a_client, assert_tells_nothing, envelope, error_from, page_of
from tests.support.scripted_server import DROP, answer, scripted_server


@pytest.mark.parametrize(
    "reply",
    [
        DROP,
        answer(201, envelope([BADGE_ROW])),
        answer(422, envelope({"message": f"Ada Muster <{EMAIL}> (person ada+credly) {TOKEN}"})),
        answer(500, {"error": EMAIL}),
        answer(401, {"message": f"No such token: {TOKEN}"}),
        answer(429, {"message": f"Slow down, {EMAIL}"}),
        answer(307, Location=f"https://{TOKEN}:@elsewhere.example/{EMAIL}"),
    ],
)
async def test_no_error_has_the_token_or_who_it_is_about(reply: bytes) -> None:
    assert_tells_nothing(await error_from(reply))


async def test_no_address_and_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async with scripted_server(page_of(page=1, pages=1)) as server, a_client(server.base_url) as client:
        await client.find_badges(badge_template_id="template-1", recipient_email=EMAIL)

    assert len(server.requests) == 1
    assert "example.org" not in caplog.text
    assert TOKEN not in caplog.text


def test_a_client_shows_where_it_talks_to_and_not_its_token() -> None:
    client = a_client(base_url="https://api.credly.com/v1/")

    assert repr(client) == "CredlyClient(base_url='https://api.credly.com/v1', organization_id='org-1')"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.credly.com/v1",
        "http://127.0.0.1:8000/v1",
        "http://127.8.8.8/v1",
        "http://[::1]:8000/v1",
        "http://localhost:8000/v1",
    ],
)
def test_a_base_url_is_tls_or_this_machine(base_url: str) -> None:
    assert base_url in repr(a_client(base_url=base_url))


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.credly.com/v1",
        "http://10.0.0.1/v1",
        "http://localhost.example.org/v1",
        "http://127.0.0.1.example.org/v1",
        "ftp://127.0.0.1/v1",
        "https://user:s3cret@api.credly.com/v1",
        "https://s3cret@api.credly.com/v1",
        "https://api.credly.com/v1?key=s3cret",
        "https://api.credly.com/v1#s3cret",
        "https://api.credly.com/v1?",
        "https://api.credly.com /v1",
        "https://api.credly.com\n/v1",
        "https://api.credly.com:port/v1",
        "https:///v1",
        "api.credly.com/v1",
        "",
    ],
)
def test_any_other_base_url_is_refused_without_being_repeated(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"^base_url must ") as refused:
        a_client(base_url=base_url)

    assert "s3cret" not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


@pytest.mark.parametrize("token", ["", " ", "s3cret\n", "s3 cret", "s3\tcret", "s3\x00cret", "s3cret:", "s3crét"])
def test_a_token_that_cannot_be_one_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="copy it once more") as refused:
        a_client(token=SecretStr(token))

    assert "cr" not in str(refused.value).removeprefix("the Credly")


def test_an_organization_id_that_leads_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="organization_id must be an id"):
        a_client(organization_id="../org-2")
