"""The values that are sent to Credly and received from it; the calls are in client.py.

What is sent is strict; what is read is lenient: unknown fields are ignored, only an id is required, and an
optional field of an unexpected form counts as absent, because a badge that exists must not be lost over an
odd date.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    WrapValidator,
    field_validator,
    model_validator,
)

Private = Annotated[str, Field(repr=False)]
"""Personal data: sent, never shown by repr or str."""

_REPLACEMENT_FIELDS = frozenset(
    {
        "badge_template_id",
        "issued_at",
        "issued_to_first_name",
        "issued_to_last_name",
        "issuer_earner_id",
        "expires_at",
        "evidence",
    }
)

_WEB_ADDRESS = re.compile(r"(?i:https?)://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~%!$&*+,;=:/-]*)?(?=[?#]|\Z)")
_LONGEST_ID = 64
_LONGEST_TEXT = 500


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class UrlEvidence(_Sent):
    """A link shown publicly on the badge's page (Credly API notes, section 5)."""

    name: Private
    value: Private
    description: Private = ""

    def as_json(self) -> dict[str, str]:
        # Without a blank description: Credly would show an empty line on the badge's page.
        entry = {"type": "UrlEvidence", "name": self.name, "value": self.value}
        return entry | ({"description": self.description} if self.description.strip() else {})


class BadgeRequest(_Sent):
    """One badge to be issued (Credly API notes, section 4.1). All moments must carry a time zone.

    `expires_at`: None takes the template's default, False means that the badge does not expire.
    """

    badge_template_id: str
    recipient_email: Private
    issued_to_first_name: Private
    issued_to_last_name: Private
    issued_at: datetime
    issuer_earner_id: Private
    evidence: Annotated[tuple[UrlEvidence, ...], Field(repr=False)] = ()
    locale: str | None = None
    suppress_badge_notification_email: bool = False
    expires_at: datetime | Literal[False] | None = None
    duplicate_behavior: Literal["replace", "allow", "deny"] | None = None

    @field_validator("issued_at", "expires_at")
    @classmethod
    def _aware(cls, moment: datetime | Literal[False] | None) -> datetime | Literal[False] | None:
        if isinstance(moment, datetime) and moment.utcoffset() is None:
            raise ValueError("needs a time zone: near midnight a naive time puts the badge on the wrong day")
        return moment

    @cached_property
    def body(self) -> dict[str, Any]:
        """The request's body, without the fields that are not set. Computed once; callers must not change it."""
        body: dict[str, Any] = {
            "badge_template_id": self.badge_template_id,
            "recipient_email": self.recipient_email,
            "issued_to_first_name": self.issued_to_first_name,
            "issued_to_last_name": self.issued_to_last_name,
            "issued_at": _moment(self.issued_at),
            "issuer_earner_id": self.issuer_earner_id,
        }
        if self.evidence:
            body["evidence"] = [entry.as_json() for entry in self.evidence]
        if self.suppress_badge_notification_email:
            body["suppress_badge_notification_email"] = True
        if self.expires_at is not None:
            body["expires_at"] = _moment(self.expires_at) if self.expires_at else False
        optional = {"locale": self.locale, "duplicate_behavior": self.duplicate_behavior}
        return body | {name: value for name, value in optional.items() if value is not None}

    def as_replacement_json(self) -> dict[str, Any]:
        """The part of the body that a replacement takes (Credly API notes, section 4.9)."""
        return {name: value for name, value in self.body.items() if name in _REPLACEMENT_FIELDS}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what would be sent: equal for equal requests, in every process and release."""
        # The prefix is the version of this form: another form must have other fingerprints.
        canonical = json.dumps(self.body, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"laurel badge request 1\n" + canonical.encode("ascii")).hexdigest()

    def field_names(self) -> list[str]:
        """The names of the fields that would be sent, without values; evidence is counted: `evidence[2]`."""
        counted = {"evidence": f"evidence[{len(self.evidence)}]"}
        return sorted(counted.get(name, name) for name in self.body)

    def personal_texts(self) -> tuple[str, ...]:
        """Every text of the request that may identify the earner, for masking Credly's messages."""
        names = f"{self.issued_to_first_name} {self.issued_to_last_name}"
        shown = [text for entry in self.evidence for text in (entry.name, entry.value, entry.description)]
        local_part = self.recipient_email.partition("@")[0]
        return (self.recipient_email, local_part, names, *names.split(), *shown)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +0000")


def _or_none(value: object, parse: Callable[[object], Any]) -> Any:
    try:
        return parse(value)
    except ValidationError:
        return None


def _text_or_none(value: object, parse: Callable[[object], str | None]) -> str | None:
    # PostgreSQL stores no NUL, and no database half a surrogate pair: one odd text must not lose the whole badge.
    text: str | None = _or_none(value, parse)
    return None if text is None or "\0" in text or not _is_whole(text) else text


def _beginning(text: str | None) -> str | None:
    # Enough to be shown; what is cut equals no text of ours.
    return text and text[:_LONGEST_TEXT]


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _moment_or_none(value: object, parse: Callable[[object], datetime | None]) -> datetime | None:
    # Credly writes UTC, so a time without a zone is UTC. The first and the last year would be out of Python's range in
    # another time zone, such as that of a database's session.
    moment: datetime | None = _or_none(value, parse)
    if moment is None or not MINYEAR < moment.year < MAXYEAR:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def is_id(value: str) -> bool:
    """Whether a text can be an id of Credly's: one segment of a path, printable, and not too long for the ledger."""
    # A dot segment or separator would make it the path of another object.
    leads_elsewhere = not value.strip(".") or ".." in value or any(mark in value for mark in "/\\?#")
    return value.isprintable() and bool(value.strip()) and len(value) <= _LONGEST_ID and not leads_elsewhere


def badge_page(link: str | None, badge_id: str | None) -> str | None:
    """Return the page of a badge from a link of Credly's, without what claims the badge: `/badges/ID/accept?…`.

    None unless it is a web address that the ledger can hold, without characters that Markdown or a browser would read
    as something else, and without an e-mail address.
    """
    address = _WEB_ADDRESS.match(link or "")
    if address is None:
        return None
    # By its parts: a pattern with the id would be compiled for each badge.
    scheme, *parts = address[0].split("/")
    page = address[0].removesuffix("/accept")
    if badge_id and badge_id in parts:
        page = "/".join([scheme, *parts[: parts.index(badge_id) + 1]])
    return page if len(page) <= _LONGEST_TEXT and "%40" not in page else None


def _id(value: str) -> str:
    if not is_id(value):
        raise ValueError("no id")
    return value


Link = Annotated[str | None, WrapValidator(_text_or_none)]
Text = Annotated[Link, AfterValidator(_beginning)]
Flag = Annotated[bool | None, WrapValidator(_or_none)]
Secret = Annotated[SecretStr | None, WrapValidator(_or_none)]
Id = Annotated[str, AfterValidator(_id)]
Moment = Annotated[datetime | None, WrapValidator(_moment_or_none)]


class Received(BaseModel):
    """An object that Credly returns. Only its id is required: one that fits a path, so that it can be read again."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, coerce_numbers_to_str=True)

    id: Id


class Badge(Received):
    """An issued badge as Credly returns it (Credly API notes, section 4.3)."""

    state: Text = None
    recipient_email: Annotated[Text, Field(repr=False)] = None
    issued_to_first_name: Annotated[Text, Field(repr=False)] = None
    issued_to_last_name: Annotated[Text, Field(repr=False)] = None
    issuer_earner_id: Annotated[Text, Field(repr=False)] = None
    badge_template_id: Text = None
    issued_at: Moment = None
    expires_at: Moment = None
    created_at: Moment = None
    badge_url: Link = None
    accept_badge_url: Annotated[Link, Field(repr=False)] = None
    replaces_badge_id: Text = None
    replacement_badge_id: Text = None

    @model_validator(mode="before")
    @classmethod
    def _lift_template_id(cls, row: object) -> object:
        return _lift(row, field="badge_template_id", parent="badge_template")

    @property
    def url(self) -> str | None:
        """The badge's page. Until the earner accepts the badge, Credly gives only the link that claims it."""
        of_claim = badge_page(self.accept_badge_url, self.id) or ""
        return badge_page(self.badge_url, self.id) or (of_claim if of_claim.endswith(f"/{self.id}") else None)


class BadgeTemplate(Received):
    """A badge template (Credly API notes, section 6); only an `active` one can be issued."""

    name: Text = None
    state: Text = None
    allow_duplicate_badges: Flag = None
    owner_id: Text = None
    image_url: Link = None

    @model_validator(mode="before")
    @classmethod
    def _lift_owner_id(cls, row: object) -> object:
        return _lift(row, field="owner_id", parent="owner")


class Event(Received):
    """What happened to a badge or a template, with the badge or template itself (Credly API notes, section 11)."""

    event_type: Text = None
    occurred_at: Moment = None
    badge: Annotated[Badge | None, WrapValidator(_or_none)] = None
    badge_template: Annotated[BadgeTemplate | None, WrapValidator(_or_none)] = None


class Organization(Received):
    """An issuing organization (Credly API notes, section 7)."""

    name: Text = None


class AuthorizationToken(Received):
    """An authorization token (Credly API notes, section 3); its value is never shown."""

    description: Text = None
    read_enabled: Flag = None
    write_enabled: Flag = None
    delete_enabled: Flag = None
    created_at: Moment = None
    expires_at: Moment = None
    token: Secret = None


def _lift(row: object, *, field: str, parent: str) -> object:
    if not isinstance(row, Mapping) or row.get(field):
        return row
    nested = row.get(parent)  # Credly nests the object; a client needs its id alone
    return {**row, field: nested.get("id") if isinstance(nested, Mapping) else None}
