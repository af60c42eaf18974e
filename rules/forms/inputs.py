"""The input types of run forms. Prefect's UI renders them as groups of switches, menus and fields."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rules.badge.evidence import EvidenceKind, EvidenceSetting
from rules.badge.text import oddities, tidy
from rules.ledger.reasons import Reason

LONGEST_OPERATOR_ID = 64  # the width of the history's column


def _as_text(value: object) -> object:
    # A key on a command line that looks like a number arrives as one; a pasted one has blanks around it.
    if isinstance(value, str):
        return tidy(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


PlatformId = Annotated[str, BeforeValidator(_as_text)]
"""A key of the platform, as text."""


# The pattern comes first: after the validator it would be missing from the schema that Prefect's server checks.
UserId = Annotated[str, Field(pattern=r"^\s*[^@\s]+\s*$", max_length=255), BeforeValidator(_as_text)]
"""A user's key. An e-mail address is refused before a run exists, so that it never reaches Prefect's database."""


WithoutAddress = Annotated[str, Field(pattern=r"^[^@]*$")]
"""Text without an e-mail address, which is refused before a run exists: Prefect keeps the parameters of a run."""


OperatorId = Annotated[str, Field(pattern=r"^[^@]*$"), BeforeValidator(_as_text)]
"""The operator's id; an e-mail address is refused before a run exists."""


class Environment(StrEnum):
    """Which Credly a portal is connected to."""

    PRODUCTION = "production"
    SANDBOX = "sandbox"
    OTHER = "other"


BASE_URLS = {
    Environment.PRODUCTION: "https://api.credly.com/v1",
    Environment.SANDBOX: "https://sandbox-api.credly.com/v1",
}


class EarnedAgain(StrEnum):
    """What happens if a user has the badge already."""

    REFUSE = "refuse"
    REPLACE = "replace"


class IfBadgeExists(StrEnum):
    """What a manual issue does if the badge exists."""

    LEAVE = "leave"
    REPLACE = "replace"


class FailedReason(StrEnum):
    """Which failed badges are retried: of any reason, or of one that a failed issuance can have."""

    ANY = "any"
    REFUSED_BY_CREDLY = Reason.REFUSED_BY_CREDLY.value
    NOT_PERMITTED = Reason.NOT_PERMITTED.value
    DUPLICATE_ELSEWHERE = Reason.DUPLICATE_ELSEWHERE.value
    ATTEMPTS_USED_UP = Reason.ATTEMPTS_USED_UP.value
    NO_PRIMARY_EMAIL = Reason.NO_PRIMARY_EMAIL.value
    EMAIL_MALFORMED = Reason.EMAIL_MALFORMED.value
    NAME_MISSING = Reason.NAME_MISSING.value
    NAME_TOO_LONG = Reason.NAME_TOO_LONG.value
    NAME_UNREADABLE = Reason.NAME_UNREADABLE.value
    AWARD_DATE_UNUSABLE = Reason.AWARD_DATE_UNUSABLE.value
    USER_MISSING = Reason.USER_MISSING.value
    USER_ID_NOT_USABLE = Reason.USER_ID_NOT_USABLE.value

    @property
    def reason(self) -> Reason | None:
        return None if self is FailedReason.ANY else Reason(self.value)


class EvidenceChoice(BaseModel):
    """One kind of evidence. Evidence is publicly visible on the badge's page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: bool = Field(default=False, description="Send this evidence where it applies to the award.")
    static_name: str = Field(
        default="", max_length=255, description="Shown in place of the name on the platform. Leave empty to look it up."
    )
    static_description: str = Field(
        default="", max_length=350, description="Shown beside the name, the same on every badge. Leave empty for none."
    )

    def as_setting(self) -> EvidenceSetting:
        return EvidenceSetting(
            enabled=self.on, static_name=tidy(self.static_name), static_description=tidy(self.static_description)
        )


class EvidenceChoices(BaseModel):
    """The evidence on the badge; each kind is left out where it does not apply to an award."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: EvidenceChoice = Field(default=EvidenceChoice(), description="The user's name and profile link.")
    company: EvidenceChoice = Field(default=EvidenceChoice(), description="The company's name and link.")
    project: EvidenceChoice = Field(default=EvidenceChoice(), description="The project's name and link.")
    portal: EvidenceChoice = Field(default=EvidenceChoice(), description="The portal's name and link.")

    def as_settings(self) -> dict[EvidenceKind, EvidenceSetting]:
        return {kind: getattr(self, kind).as_setting() for kind in EvidenceKind}


class Locale(StrEnum):
    """Languages of Credly's notification mail (Credly API notes, section 4.1)."""

    TEMPLATE = ""
    ENGLISH = "en"
    FRENCH = "fr"
    GERMAN = "de"
    KOREAN = "ko"
    JAPANESE = "ja"
    CHINESE = "zh-CN"
    PORTUGUESE = "pt"
    SPANISH_SPAIN = "es-ES"
    SPANISH_AMERICA = "es-US"
    FRENCH_CANADA = "fr-CA"
    PORTUGUESE_BRAZIL = "pt-BR"


class InvalidInput(Exception):
    """The input cannot be used; the message has the field, the reason and what to do."""


def operator_id(typed: str) -> str:
    """Return an operator's id; empty where none is given.

    Raises:
        InvalidInput: it is longer than 64 characters, an e-mail address, or has characters that cannot be printed.
    """
    if len(typed) > LONGEST_OPERATOR_ID or "@" in typed or not typed.isprintable():
        raise InvalidInput(
            f"operator: give an id of at most {LONGEST_OPERATOR_ID} printable characters and no e-mail address, or "
            "leave it empty."
        )
    return typed


def static_text(typed: str, *, field: str) -> str:
    """Return a text that is sent with each badge, without blanks around it.

    Raises:
        InvalidInput: it has what `rules.badge.text` has tables of: hidden characters, HTML entities, mojibake.
    """
    text = tidy(typed)
    if found := oddities(text):
        raise InvalidInput(f"{field}: it has {found[0].words}. Remove it, or type the text again.")
    return text


def in_the_past(moment: datetime | None, *, field: str, now: datetime) -> datetime | None:
    """Return the moment, aware; refuse one in the future or without a time zone.

    Raises:
        InvalidInput: the moment is in the future, or has no time zone.
    """
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidInput(f"{field}: the moment needs a time zone, such as 2026-11-02T09:00:00Z.")
    if moment > now:
        raise InvalidInput(
            f"{field}: {moment.isoformat(timespec='minutes')} is in the future; give a moment in the past."
        )
    return moment
