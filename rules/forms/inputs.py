"""The input types of run forms. Prefect's UI renders them as groups of switches, menus and fields."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from rules.badge.evidence import EvidenceKind, EvidenceSetting
from rules.badge.text import oddities, tidy
from rules.forms.menus import AT, BEFORE_ID, LONGEST_ENTRY, LONGEST_ID, MARK, Menu, id_of_entry
from rules.ledger.reasons import Reason

LONGEST_OPERATOR_ID = 64  # the width of the history's column


def _as_text(value: object) -> object:
    # A key on a command line that looks like a number arrives as one; a pasted one has blanks around it.
    if isinstance(value, str):
        return tidy(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_NO_ADDRESS = rf"^(?![\s\S]*({AT}))"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a text field accepts, of at most `longest` characters. Prefect's server refuses everything else.

    Refused before a run exists: Prefect keeps the parameters of a run, also those of one that has failed.
    """

    words: str
    longest: int
    pattern: str = _NO_ADDRESS

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # With a bare `pattern` or `maxLength` the notice on Prefect's pages would repeat the whole value.
        other = {"not": {"maxLength": self.longest, "pattern": self.pattern}}
        return {**handler(schema), "if": other, "then": {"const": self.words}}

    def _checked(self, value: object) -> object:
        if isinstance(value, str) and (len(value) > self.longest or re.search(self.pattern, value) is None):
            raise PydanticCustomError("expected", "'{words}' was expected", {"words": self.words})
        return value


def free_text(longest: int) -> Expected:
    """Return the metadata of a field for text of at most `longest` characters."""
    return Expected(words=f"text of at most {longest} characters, without an e-mail address", longest=longest)


@dataclass(frozen=True, kw_only=True)
class Chosen(Expected):
    """What a field with a menu accepts: one of its entries, or an id."""

    menu: Menu
    longest: int = LONGEST_ENTRY
    pattern: str = _NO_ADDRESS + rf"(?:[\s\S]*{BEFORE_ID})?[\s\S]{{0,{LONGEST_ID}}}$"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        checked = super().__get_pydantic_core_schema__(source, handler)
        return core_schema.no_info_after_validator_function(id_of_entry, checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**super().__get_pydantic_json_schema__(schema, handler), MARK: self.menu.value}


_AN_ID = "an id of at most 255 characters, no e-mail address"

PortalId = Annotated[str, Chosen(words=_AN_ID, menu=Menu.PORTAL), BeforeValidator(_as_text)]
AchievementId = Annotated[str, Chosen(words=_AN_ID, menu=Menu.ACHIEVEMENT), BeforeValidator(_as_text)]
CompanyId = Annotated[str, Chosen(words=_AN_ID, menu=Menu.COMPANY), BeforeValidator(_as_text)]
ProjectId = Annotated[str, Chosen(words=_AN_ID, menu=Menu.PROJECT), BeforeValidator(_as_text)]


UserId = Annotated[
    str,
    Expected(
        words="a user's id of at most 255 characters, no name or e-mail address",
        longest=255,
        pattern=_NO_ADDRESS + r"\s*\S+\s*$",
    ),
    BeforeValidator(_as_text),
]
"""A user's key. A name in two words and an e-mail address are refused."""


OperatorId = Annotated[
    str,
    Expected(words="your own id of at most 64 characters, no e-mail address", longest=LONGEST_OPERATOR_ID),
    BeforeValidator(_as_text),
]
"""The operator's id."""


_AN_ID_OF_CREDLY = "an id of Credly, which is 36 characters long"

CredlyId = Annotated[str, Expected(words=_AN_ID_OF_CREDLY, longest=LONGEST_ID)]
"""An id of Credly, or the address of a page that has it."""

TemplateId = Annotated[str, Chosen(words=_AN_ID_OF_CREDLY, menu=Menu.TEMPLATE)]
"""The id of a badge template, or the address of a page that has it."""


_A_RUN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

BlockName = Annotated[
    str,
    Expected(
        words="the name of a Secret block: at most 100 lowercase letters, digits and dashes",
        longest=100,
        pattern=r"^\s*[a-z0-9-]*\s*$",
    ),
]
"""The name of a Prefect block: a token that is entered in its place is refused."""


RunId = Annotated[
    str,
    Expected(words="a flow run's id, or the address of its page", longest=500, pattern=r"^\s*$|" + _A_RUN.pattern),
    AfterValidator(lambda typed: found[0] if (found := _A_RUN.findall(typed)) else ""),
]
"""The id of a flow run of Prefect, or the address of a page that has it."""


PathText = Annotated[str, Expected(words="a path of at most 500 characters, without @", longest=500)]
"""A path on the machine of the worker."""


_MOMENT = r"^\s*([0-9]{4}-[0-9]{2}-[0-9]{2}[0-9TtZz:.,+\s-]*)?$"


@dataclass(frozen=True, kw_only=True)
class _ExpectedMoment(Expected):
    pattern: str = _MOMENT
    longest: int = 40

    def _checked(self, value: object) -> object:
        # Pydantic takes a number for seconds since 1970: 20260901, and 2026, would be moments of that year.
        return super()._checked(str(value) if isinstance(value, int | float) else value)


Day = Annotated[date | None, _ExpectedMoment(words="a day such as 2026-11-02")]
"""A day, or none."""


PastMoment = Annotated[datetime | None, _ExpectedMoment(words="a moment such as 2026-11-02T09:00:00Z")]
"""A moment, or none."""


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


class WhenDataChanges(StrEnum):
    """What happens to an issued badge if the user's name is corrected on the platform."""

    LEAVE = "leave"
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
    static_name: Annotated[str, free_text(255)] = Field(
        default="", description="Shown in place of the name on the platform. Leave empty to look it up."
    )
    static_description: Annotated[str, free_text(350)] = Field(
        default="", description="Shown beside the name, the same on every badge. Leave empty for none."
    )

    def as_setting(self) -> EvidenceSetting:
        return EvidenceSetting(
            enabled=self.on, static_name=tidy(self.static_name), static_description=tidy(self.static_description)
        )


def _titled(title: str, description: str) -> WithJsonSchema:
    # A schema of its own: Prefect's V2 pages show the title of what a reference leads to, the same for all.
    return WithJsonSchema(EvidenceChoice.model_json_schema() | {"title": title, "description": description})


class EvidenceChoices(BaseModel):
    """The evidence on the badge; each kind is left out where it does not apply to an award."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: Annotated[EvidenceChoice, _titled("User", "The user's name and profile link.")] = EvidenceChoice()
    company: Annotated[EvidenceChoice, _titled("Company", "The company's name and link.")] = EvidenceChoice()
    project: Annotated[EvidenceChoice, _titled("Project", "The project's name and link.")] = EvidenceChoice()
    portal: Annotated[EvidenceChoice, _titled("Portal", "The portal's name and link.")] = EvidenceChoice()

    def as_settings(self) -> dict[EvidenceKind, EvidenceSetting]:
        return {kind: getattr(self, kind).as_setting() for kind in EvidenceKind}


class Locale(StrEnum):
    """Languages of Credly's notification mail (Credly API notes, section 4.1)."""

    UNSET = ""
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
    """Return the moment in UTC; refuse one in the future or without a time zone.

    Raises:
        InvalidInput: the moment is in the future, has no time zone, or UTC has no such moment.
    """
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidInput(f"{field}: the moment needs a time zone, such as 2026-11-02T09:00:00Z.")
    if moment > now:
        raise InvalidInput(
            f"{field}: {moment.isoformat(timespec='minutes')} is in the future; give a moment in the past."
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{field}: the moment is before the year 1 in UTC; give a later one.") from None
