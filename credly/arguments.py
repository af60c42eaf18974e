"""Checks of a client's arguments; the messages do not repeat what may be a secret."""

from ipaddress import ip_address

import httpx
from pydantic import SecretStr


def checked_token(token: SecretStr) -> str:
    """Return the token's text.

    Raises:
        ValueError: it cannot be a token.
    """
    value = token.get_secret_value()
    # A colon would end the user name of the Basic credentials, and with it the token.
    if not value or not value.isascii() or not value.isprintable() or " " in value or ":" in value:
        raise ValueError("the Credly token is empty or holds a blank, a line end or a colon: copy it once more")
    return value


def checked_base_url(base_url: str) -> str:
    """Return the address without a slash at its end.

    Raises:
        ValueError: it is not the address of an API, or would send the token unencrypted.
    """
    try:
        url = httpx.URL(base_url)
        url.host.encode("idna")  # else the name is found to be none in the middle of a call
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL("")
    if not url.host or url.userinfo or any(mark in base_url for mark in "?# "):
        raise ValueError("base_url must look like https://api.credly.com/v1, without user, password, query or fragment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_this_machine(url.host)):
        raise ValueError("base_url must begin with https://; http:// is for a stand-in on this machine only")
    return base_url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
