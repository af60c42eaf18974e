"""The reasons why an issuance is not issued or waits, each with its meaning and what to do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class _Words(NamedTuple):
    sentence: str
    advice: str


class Reason(StrEnum):
    """Why an issuance has its state. Stored in the ledger by value."""

    # blocked: issued automatically once the cause is gone
    PORTAL_NOT_CONNECTED = "portal_not_connected"
    TOKEN_MISSING = "token_missing"  # noqa: S105 - a reason's name, not a token
    TOKEN_REFUSED = "token_refused"  # noqa: S105
    ORGANIZATION_NOT_FOUND = "organization_not_found"
    TEMPLATE_NOT_FOUND = "template_not_found"
    TEMPLATE_NOT_ACTIVE = "template_not_active"
    # failed by our own check, before anything is sent
    NO_PRIMARY_EMAIL = "no_primary_email"
    EMAIL_MALFORMED = "email_malformed"
    NAME_MISSING = "name_missing"
    NAME_TOO_LONG = "name_too_long"
    NAME_UNREADABLE = "name_unreadable"
    AWARD_DATE_UNUSABLE = "award_date_unusable"
    USER_MISSING = "user_missing"
    USER_ID_NOT_USABLE = "user_id_not_usable"
    # failed by Credly's answer
    REFUSED_BY_CREDLY = "refused_by_credly"
    NOT_PERMITTED = "not_permitted"
    DUPLICATE_ELSEWHERE = "duplicate_elsewhere"
    # failed after too many attempts
    ATTEMPTS_USED_UP = "attempts_used_up"
    # pending again: the result of the last attempt
    THROTTLED = "throttled"
    NOT_REACHABLE = "not_reachable"
    ANSWER_UNCLEAR = "answer_unclear"
    LOOK_UP_FAILED = "look_up_failed"
    # pending: not yet
    AWARDED_IN_FUTURE = "awarded_in_future"
    # pending: an issued badge is to be replaced
    NAME_CORRECTED = "name_corrected"
    # cancelled
    INTEGRATION_REMOVED = "integration_removed"
    AWARD_WITHDRAWN = "award_withdrawn"
    USER_ERASED = "user_erased"

    @property
    def sentence(self) -> str:
        return _WORDS[self].sentence

    @property
    def advice(self) -> str:
        return _WORDS[self].advice


_BY_ITSELF = "Nothing: the next run tries again."
_CORRECT_USER = "Correct the user's data on the platform; the next run issues the badge."

_WORDS = {
    Reason.PORTAL_NOT_CONNECTED: _Words(
        "The achievement's portal is not connected to Credly.",
        "Connect the portal; its badges are then issued automatically.",
    ),
    Reason.TOKEN_MISSING: _Words(
        "The Prefect Secret block that should hold the portal's token does not exist or is not usable.",
        "Create the block under the name in the connection, or connect the portal again.",
    ),
    Reason.TOKEN_REFUSED: _Words(
        "Credly refused the portal's token: it is wrong, expired, replaced, or may not issue.",
        "Put a valid token with write permission into the connection's Secret block.",
    ),
    Reason.ORGANIZATION_NOT_FOUND: _Words(
        "The organization that the portal is connected to does not exist at Credly.",
        "Check the organization id and the environment of the portal's connection.",
    ),
    Reason.TEMPLATE_NOT_FOUND: _Words(
        "The badge template does not exist in the portal's Credly organization.",
        "Enable the achievement again with a template of that organization.",
    ),
    Reason.TEMPLATE_NOT_ACTIVE: _Words(
        "The badge template is a draft or archived; Credly issues active ones only.",
        "Activate the template at Credly, or enable the achievement with another one.",
    ),
    Reason.NO_PRIMARY_EMAIL: _Words("The user has no primary e-mail address.", _CORRECT_USER),
    Reason.EMAIL_MALFORMED: _Words(
        "The user's primary e-mail address (user_emails.address) cannot be read, or is not an address.",
        _CORRECT_USER,
    ),
    Reason.NAME_MISSING: _Words(
        "The user's first or last name (users.first_name, users.last_name) is blank or a placeholder such as N/A.",
        "Correct the name, or set what the portal's connection sends for a missing name.",
    ),
    Reason.NAME_TOO_LONG: _Words("The user's first or last name is longer than 255 characters.", _CORRECT_USER),
    Reason.NAME_UNREADABLE: _Words(
        "The user's first or last name (users.first_name, users.last_name) cannot be read, or has bytes that are not "
        "UTF-8 text.",
        _CORRECT_USER,
    ),
    Reason.AWARD_DATE_UNUSABLE: _Words(
        "A date of the award (awarded_at or withdrawn_at of achievement_awards) is not a moment of the years 1 to "
        "9999 or cannot be read, or the badge would expire after those years.",
        "Correct the date on the platform; the next run issues the badge.",
    ),
    Reason.USER_MISSING: _Words(
        "The platform's table or view users has no row with the awarded user's id.",
        "If it leaves this user out on purpose, leave the awards out of achievement_awards too; else restore the user.",
    ),
    Reason.USER_ID_NOT_USABLE: _Words(
        "The user's id is blank, or contains a character that Credly's filter cannot express (| , :: or a control "
        "character), so a second badge could not be ruled out.",
        "Supply the platform's users under ids without these characters.",
    ),
    Reason.REFUSED_BY_CREDLY: _Words(
        "Credly refused this badge; its message is beside this reason.",
        "Act on Credly's message, then issue the badge by hand; many at once with retry-failed.",
    ),
    Reason.NOT_PERMITTED: _Words(
        "Credly does not permit this one badge, although it accepts the portal's token and organization; its message "
        "is beside this reason.",
        "Compare the template's owner and the token's rights at Credly, then run retry-failed.",
    ),
    Reason.DUPLICATE_ELSEWHERE: _Words(
        "The user already has this badge at Credly, but for another row of the ledger, or under another id or address: "
        "most likely another address of the same Credly account.",
        "Look the user up in the ledger and at Credly, and decide whether that badge counts for this award.",
    ),
    Reason.ATTEMPTS_USED_UP: _Words(
        "Credly could not be reached, or its responses were lost, in every run over many hours.",
        "Read the attempts for Credly's responses; once Credly works again, issue the badge by hand, or many at once "
        "with retry-failed. The badge is looked up at Credly first.",
    ),
    Reason.THROTTLED: _Words(
        "Credly limits the rate of calls. The badge is looked up at Credly before anything is sent again.",
        _BY_ITSELF,
    ),
    Reason.NOT_REACHABLE: _Words("Credly could not be reached; nothing was sent.", _BY_ITSELF),
    Reason.ANSWER_UNCLEAR: _Words(
        "Credly's response was lost or unreadable, so the badge may exist; it is looked up at Credly before anything "
        "is sent again.",
        _BY_ITSELF,
    ),
    Reason.LOOK_UP_FAILED: _Words("The badge could not be looked up at Credly, so nothing was sent.", _BY_ITSELF),
    Reason.AWARDED_IN_FUTURE: _Words(
        "The award is dated in the future; it is issued when that moment comes.",
        "Nothing, unless the date is a mistake.",
    ),
    Reason.NAME_CORRECTED: _Words(
        "The user's name was corrected on the platform after the badge was issued; the badge is to be replaced.",
        "Nothing: the next run replaces it.",
    ),
    Reason.INTEGRATION_REMOVED: _Words(
        "Credly was disabled for the achievement before the badge was issued.",
        "Enable it again, or issue the badge by hand.",
    ),
    Reason.AWARD_WITHDRAWN: _Words(
        "The award was withdrawn: nothing was issued, or the badge was revoked.",
        "Nothing; a new award makes it due again.",
    ),
    Reason.USER_ERASED: _Words(
        "The user was erased from the ledger on request; no badge is issued to this user any more.",
        "Nothing.",
    ),
}

BLOCKED_REASONS = frozenset(
    {
        Reason.PORTAL_NOT_CONNECTED,
        Reason.TOKEN_MISSING,
        Reason.TOKEN_REFUSED,
        Reason.ORGANIZATION_NOT_FOUND,
        Reason.TEMPLATE_NOT_FOUND,
        Reason.TEMPLATE_NOT_ACTIVE,
    }
)
DATA_REASONS = frozenset(
    {
        Reason.NO_PRIMARY_EMAIL,
        Reason.EMAIL_MALFORMED,
        Reason.NAME_MISSING,
        Reason.NAME_TOO_LONG,
        Reason.NAME_UNREADABLE,
        Reason.AWARD_DATE_UNUSABLE,
        Reason.USER_MISSING,
        Reason.USER_ID_NOT_USABLE,
    }
)
MOMENT_REASONS = (Reason.AWARDED_IN_FUTURE, Reason.AWARD_DATE_UNUSABLE)
# What has failed is requeued where it has one of these now: it waits, or another award of the user counts.
_NOT_FAILED = (Reason.AWARDED_IN_FUTURE, Reason.AWARD_WITHDRAWN)
CONNECTION_REASONS = (Reason.TOKEN_MISSING, Reason.TOKEN_REFUSED, Reason.ORGANIZATION_NOT_FOUND)
REFUSED_REASONS = (Reason.REFUSED_BY_CREDLY, Reason.NOT_PERMITTED)
TEMPLATE_REASONS = (Reason.TEMPLATE_NOT_FOUND, Reason.TEMPLATE_NOT_ACTIVE)
FAILED_REASONS = DATA_REASONS | {*REFUSED_REASONS, Reason.DUPLICATE_ELSEWHERE, Reason.ATTEMPTS_USED_UP}
CANCELLED_REASONS = frozenset({Reason.INTEGRATION_REMOVED, Reason.AWARD_WITHDRAWN, Reason.USER_ERASED})


def is_requeued(*, failed_for: Reason | None, attempted: str | None, present: Reason | str | None) -> bool:
    """Whether a failed issuance is tried again.

    `attempted` is the fingerprint of the last request that was tried; `present` that of the request that can be sent
    now, or the reason why none can be sent.
    """
    if present is None or isinstance(present, Reason):
        return present in _NOT_FAILED
    # Where nothing could be sent at last, the fingerprint is of an earlier attempt, which Credly may not have refused.
    return failed_for in DATA_REASONS or present != attempted


class AwardFault(StrEnum):
    """Why an award cannot become an issuance. The ledger has no row of it, so each run that reads it reports it."""

    WITHOUT_ACHIEVEMENT = "award_without_achievement"
    WITHOUT_USER = "award_without_user"
    WITHOUT_ID = "award_without_id"
    WITHOUT_PORTAL = "award_without_portal"
    NOT_READ = "award_not_read"

    @property
    def sentence(self) -> str:
        return _FAULTS[self].sentence

    @property
    def advice(self) -> str:
        return _FAULTS[self].advice


_IS_NO_KEY = "is NULL, blank, longer than 255 characters or not text, or cannot be read"
_CORRECT_ROW = "Correct it on the platform or in its view; the next run that reads the award issues the badge."

_FAULTS = {
    AwardFault.WITHOUT_ACHIEVEMENT: _Words(f"The award's achievement_id {_IS_NO_KEY}.", _CORRECT_ROW),
    AwardFault.WITHOUT_USER: _Words(f"The award's user_id {_IS_NO_KEY}.", _CORRECT_ROW),
    AwardFault.WITHOUT_ID: _Words(f"The award's own id (achievement_awards.id) {_IS_NO_KEY}.", _CORRECT_ROW),
    AwardFault.WITHOUT_PORTAL: _Words(
        f"The portal_id of the award's achievement (achievements.portal_id) {_IS_NO_KEY}.", _CORRECT_ROW
    ),
    AwardFault.NOT_READ: _Words(
        "So many values of achievement_awards end a statement of the platform's database with an error that this run "
        "did not read the award.",
        "Correct the values or the view; `check` names the column. Later runs read the award.",
    ),
}
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, order=True)
class UnusableAward:
    """An award that cannot be entered: its fault, its own id and its achievement's, both shortened.

    `identity` differs where only the shortened ids are the same.
    """

    fault: AwardFault
    award_id: str = ""
    achievement_id: str = ""
    identity: int = 0


def shortened(stored: object) -> str:
    """Return an id so that it can be shown whatever is stored in its place; one with an @ may be an address."""
    if stored is None:
        return "NULL"
    if not isinstance(stored, str):
        return "not text"
    if "@" in stored:
        return "hidden"
    shown = stored.strip().encode(errors="replace").decode()
    return f"{shown[:_SHOWN]}…" if len(shown) > _SHOWN else shown or "blank"
