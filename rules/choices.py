"""What people choose in a run form. Prefect's UI renders these as groups of switches, menus and fields."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rules.evidence import EvidenceKind, EvidenceSetting
from rules.reasons import Reason
from rules.text import tidy

LONGEST_OPERATOR_ID = 64  # what the history has room for


def _as_text(value: object) -> object:
    """Keys typed on a command line arrive as numbers where they look like numbers, pasted ones with blanks around."""
    if isinstance(value, str):
        return tidy(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


PlatformId = Annotated[str, BeforeValidator(_as_text)]
"""A key of the platform, as text."""


# The pattern stands first: behind the validator it would be missing from the schema that Prefect's server checks.
UserId = Annotated[str, Field(pattern=r"^\s*[^@\s]+\s*$", max_length=64), BeforeValidator(_as_text)]
"""A user's key. An e-mail address is refused before a run exists, so that it never reaches Prefect's database."""


WithoutAddress = Annotated[str, Field(pattern=r"^[^@]*$")]
"""Text in which an e-mail address is refused before a run exists, as what is typed is kept in the run history."""


OperatorId = Annotated[str, Field(pattern=r"^[^@]*$"), BeforeValidator(_as_text)]
"""The id of who fills in a form; an e-mail address is refused before a run exists."""


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
    """What happens where a user has the badge already."""

    REFUSE = "refuse"
    REPLACE = "replace"


class IfBadgeExists(StrEnum):
    """What issuing by hand does where the badge exists."""

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
    USER_MISSING = Reason.USER_MISSING.value
    USER_ID_NOT_USABLE = Reason.USER_ID_NOT_USABLE.value

    @property
    def reason(self) -> Reason | None:
        """The reason that is stored in the ledger; None for any."""
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
        """Return the choice as the rules use it."""
        return EvidenceSetting(
            enabled=self.on, static_name=tidy(self.static_name), static_description=tidy(self.static_description)
        )


class EvidenceChoices(BaseModel):
    """Which evidence goes on the badge; each kind by itself, left out where it does not apply to an award."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: EvidenceChoice = Field(default=EvidenceChoice(), description="The user's name and profile link.")
    company: EvidenceChoice = Field(default=EvidenceChoice(), description="The company's name and link.")
    project: EvidenceChoice = Field(default=EvidenceChoice(), description="The project's name and link.")
    portal: EvidenceChoice = Field(default=EvidenceChoice(), description="The portal's name and link.")

    def as_settings(self) -> dict[EvidenceKind, EvidenceSetting]:
        """Return the choices as the rules use them."""
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


class Mistake(Exception):
    """What was asked for cannot be done; the message says which field, why, and what to do."""


def operator_id(typed: str) -> str:
    """Return an operator's id; empty where none is given.

    Raises:
        Mistake: it is longer than 64 characters, an e-mail address, or has characters that cannot be printed.
    """
    if len(typed) > LONGEST_OPERATOR_ID or "@" in typed or not typed.isprintable():
        raise Mistake(
            f"operator: give an id of at most {LONGEST_OPERATOR_ID} printable characters and no e-mail address, or "
            "leave it empty."
        )
    return typed


def in_the_past(moment: datetime | None, *, field: str, now: datetime) -> datetime | None:
    """Return the moment, aware; refuse one in the future or without a time zone.

    Raises:
        Mistake: the moment is in the future, or says no time zone.
    """
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Mistake(f"{field}: the moment needs a time zone, such as 2026-11-02T09:00:00Z.")
    if moment > now:
        raise Mistake(f"{field}: {moment.isoformat(timespec='minutes')} is in the future; give a moment in the past.")
    return moment
