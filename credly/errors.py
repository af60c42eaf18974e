"""What a call to Credly can end in, sorted by what the caller does next.

    CredlyError
      NotSent            nothing left this machine: send again
      Unclear            it may have arrived: look up before anything else
      Throttled          too many requests; carries retry_after
      Refused            this badge, for this reason; the cause must be removed
        AlreadyIssued    the badge exists: look up and adopt
        AlreadyReplaced  the badge has a successor; carries current_badge_id
      NotConnected       token refused (401) or call not allowed (403)
      NotFound           the organization, template or badge does not exist

Of these only NotSent proves that a call to issue made nothing. Whether NotConnected and NotFound are about the one
call or about the whole organization is decided by a call for the organization itself.

    UnsafeFilterValue    nothing was sent: a value that Credly's filter syntax cannot express (a ValueError)

The text of an error is its class's first docstring line and facts of our own. It never holds a name, an
e-mail address, a token or a reply's body: what Credly wrote is in `credly_message`, masked by `mask_message`.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from typing import TypedDict, Unpack

_MASK = "…"
_LONGEST_MESSAGE = 500
_LONGEST_READ = 4_000  # of a message: masking costs time for each character
_LONGEST_ADDRESS = 320
_SHORTEST_ANYWHERE = 4  # "Al" is not to be cut out of "Already"


class Facts(TypedDict, total=False):
    """The attributes of every error; `CredlyError` describes each."""

    status: int | None
    code: str | None
    request_id: str | None
    operation: str | None
    credly_message: str | None
    in_credly_form: bool
    credly_request_id: str | None


class CredlyError(Exception):
    """A call to Credly did not succeed.

    Attributes:
        status: HTTP status of the reply, if there was one.
        code: a short word of ours for the cause, such as `read_timeout`, `http_503` or `token_refused`.
        request_id: our own id of the call, sent to Credly as `X-Request-Id`.
        credly_request_id: Credly's id of the call, from its answer's `X-Request-Id`, for its support.
        operation: the client's method, such as `issue_badge`.
        credly_message: what Credly wrote, masked and shortened; not part of the error's text.
        in_credly_form: whether the answer was a JSON object with Credly's `data` envelope, or a 422 with a message.
            Otherwise a firewall or gateway may have answered in Credly's place. The form of a 401 is not known: any
            that is no HTML counts.
        retry_after: how long Credly asked to wait; only `Throttled` has one.
    """

    retry_after: timedelta | None = None

    def __init__(self, **facts: Unpack[Facts]) -> None:
        # All facts are keywords with defaults and `args` stays empty, so that pickle and copy can rebuild any
        # of these: they make an empty one and then restore its attributes.
        super().__init__()
        self.status = facts.get("status")
        self.code = facts.get("code")
        self.request_id = facts.get("request_id")
        self.operation = facts.get("operation")
        self.credly_message = facts.get("credly_message")
        self.in_credly_form = facts.get("in_credly_form", False)
        self.credly_request_id = facts.get("credly_request_id")

    def __str__(self) -> str:
        facts = {
            "operation": self.operation,
            "status": self.status,
            "code": self.code,
            "request": self.request_id,
        }
        known = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
        sentence = (type(self).__doc__ or type(self).__name__).partition("\n")[0]
        return f"{sentence} ({known})" if known else sentence

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class NotSent(CredlyError):
    """Nothing left this machine: send again.

    No connection (refused, unknown host, failed TLS, connect time-out), or none free in our own pool.
    """


class Unclear(CredlyError):
    """The request may have arrived at Credly: look up before anything else.

    Time-out or drop after the connection stood, 5xx, 408, or a reply that promises success and cannot be
    read.
    """


class Throttled(CredlyError):
    """Credly has had too many requests: wait, look up what may have been made, then send again.

    `retry_after` is what Credly asked for (never negative, never over a day), None when it gave none.
    """

    def __init__(self, *, retry_after: timedelta | None = None, **facts: Unpack[Facts]) -> None:
        super().__init__(**facts)
        self.retry_after = retry_after


class Refused(CredlyError):
    """Credly refused this request, in its own form: the cause must be removed first."""


class AlreadyIssued(Refused):
    """Credly says that the earner already has this badge: look it up and adopt it."""


class AlreadyReplaced(Refused):
    """The badge has been replaced already: go on with its successor.

    `current_badge_id` is the last badge of the chain, None when Credly did not name it.
    """

    def __init__(self, *, current_badge_id: str | None = None, **facts: Unpack[Facts]) -> None:
        super().__init__(**facts)
        self.current_badge_id = current_badge_id


class NotConnected(CredlyError):
    """Credly does not accept the token for this call.

    By `status`: 401 means that the token is wrong, expired or rotated; 403 that it may not do this, for this badge or
    for the organization.
    """


class NotFound(CredlyError):
    """Credly has no such organization, template or badge, or answered with a redirect: correct the id.

    A redirect (code `redirected`) is never followed, because that would take the token to another host. A 303 is
    `Unclear`: it can follow a processed request.
    """


class UnsafeFilterValue(ValueError):
    """A value that Credly's filter syntax would read as something else; nothing was sent."""


def mask_message(text: str, *, personal: Iterable[str]) -> str | None:
    """Credly's message with addresses and the `personal` texts as "…"; None if nothing is left.

    Control characters are removed, runs of blanks become one, and the rest is cut to 500 characters. Masking
    too much is harmless: only very short names need to stand alone to be masked.
    """
    words = _plain(text[:_LONGEST_READ])
    # The longest first: else the last name is masked in the address, and the rest of the address stays.
    secrets = sorted({_plain(value) for value in personal} - {""}, key=len, reverse=True)
    for secret in secrets:
        pattern = re.escape(secret)
        if secret.isascii() and len(secret) < _SHORTEST_ANYWHERE:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        words = re.sub(pattern, _MASK, words, flags=re.IGNORECASE)
    kept = " ".join(_MASK if "@" in word or "%40" in word else word for word in words.split())
    if len(text) > _LONGEST_READ:
        # The end may be half of an address or name, in a last word that may be the whole message.
        head, _, last = kept.rpartition(" ")
        kept = f"{head} {last[: -max([_LONGEST_ADDRESS, *map(len, secrets)])]}".strip()
    return kept[:_LONGEST_MESSAGE] or None


def _plain(text: str) -> str:
    # NFKC, as Credly may return a name in another form than it was sent in.
    spaced = " ".join(unicodedata.normalize("NFKC", text).split())
    return "".join(char for char in spaced if not unicodedata.category(char).startswith("C"))
