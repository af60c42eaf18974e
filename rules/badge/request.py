"""The request to Credly for an issuance, or why none can be sent."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from credly.wire import BadgeRequest
from rules.badge.evidence import EvidenceKind, LeftOut, resolve_evidence
from rules.badge.issuance_data import BadgeOptions, Expiry, IssuanceFacts
from rules.badge.text import UNREADABLE, sent_names, tidy
from rules.ledger.reasons import Reason, is_requeued
from rules.ledger.states import NO_MOMENT, is_ahead

_PLAIN_LOCAL_PART = re.compile(r"(?!.{65})[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_LONGEST_PLAIN = 200  # of an address that is within every limit of length
LONGEST_TEXT = 255  # Credly API notes, section 4.1: assumed, as in a Rails string column


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request that can be sent, the evidence that is switched on but left out of it, and which names are static."""

    request: BadgeRequest
    kinds: tuple[EvidenceKind, ...] = ()
    left_out: tuple[tuple[EvidenceKind, LeftOut], ...] = ()
    static_names: frozenset[EvidenceKind] = frozenset()


def prepare_request(facts: IssuanceFacts, *, now: datetime) -> Prepared | Reason:
    """Return the request to send, or the reason why nothing can be sent.

    `issued_at` is the moment of the award; a badge issued by hand without an award gets `now`. Both in UTC.
    """
    if reason := _missing_precondition(facts) or _fault_of_moment(facts, now=now):
        return reason
    email = (facts.email or "").strip()
    if problem := fault_of_email(email):
        return problem
    given = sent_names(facts.first_name, facts.last_name)
    if any(UNREADABLE in name for name in given):
        return Reason.NAME_UNREADABLE
    first_name, last_name = (name or tidy(facts.options.missing_name) for name in given)
    if not first_name or not last_name:
        return Reason.NAME_MISSING
    if max(len(first_name), len(last_name)) > LONGEST_TEXT:
        return Reason.NAME_TOO_LONG
    # The moment of the award, not of the call: the badge has the date on which it was earned, however late it is sent.
    issued_at = facts.awarded_at or now
    evidence = resolve_evidence(facts.options.evidence, facts.sources)
    request = BadgeRequest(
        badge_template_id=facts.badge_template_id,
        recipient_email=email,
        issued_to_first_name=first_name,
        issued_to_last_name=last_name,
        issued_at=issued_at,
        issuer_earner_id=facts.user_id,
        evidence=evidence.items,
        locale=facts.options.locale or None,
        suppress_badge_notification_email=facts.options.suppress_notification,
        expires_at=expires_at(facts.options, issued_at=issued_at),
    )
    return Prepared(
        request=request, kinds=evidence.kinds, left_out=evidence.left_out, static_names=evidence.static_names
    )


def would_differ(facts: IssuanceFacts, *, now: datetime) -> bool:
    """Whether a failed issuance is worth another attempt: its request can be sent now, and is not the refused one."""
    prepared = prepare_request(facts, now=now)
    present = prepared.request.fingerprint if isinstance(prepared, Prepared) else prepared
    return is_requeued(failed_for=facts.reason, attempted=facts.request_fingerprint, present=present)


def _missing_precondition(facts: IssuanceFacts) -> Reason | None:
    if not facts.integration_exists:
        return Reason.INTEGRATION_REMOVED
    if facts.award_withdrawn:
        return Reason.AWARD_WITHDRAWN
    if not facts.user_exists:
        return Reason.USER_MISSING
    return None if can_be_looked_up(facts.user_id) else Reason.USER_ID_NOT_USABLE


def _fault_of_moment(facts: IssuanceFacts, *, now: datetime) -> Reason | None:
    if facts.awarded_at is not None and is_ahead(facts.awarded_at, now):
        return Reason.AWARDED_IN_FUTURE
    try:
        expires_at(facts.options, issued_at=facts.awarded_at or now)
    except OverflowError:
        return Reason.AWARD_DATE_UNUSABLE
    return Reason.AWARD_DATE_UNUSABLE if facts.awarded_at == NO_MOMENT else None


def can_be_looked_up(value: str) -> bool:
    """Whether Credly's filter can express this value (Credly API notes, section 2: there is no escape)."""
    return not ("|" in value or "," in value or "::" in value) and value.isprintable() and not value.isspace()


def fault_of_email(email: str) -> Reason | None:
    """Return why a badge cannot be sent to this address, or None. Form only: no DNS look-up is made."""
    if not email:
        return Reason.NO_PRIMARY_EMAIL
    # Checking an address is slow. Nearly all have a plain local part, so the library checks the domain alone, and once
    # for all users who share it.
    local_part, _, domain = email.partition("@")
    if len(email) <= _LONGEST_PLAIN and _PLAIN_LOCAL_PART.fullmatch(local_part):
        usable = _is_usable_domain(domain)
    else:
        usable = _is_usable_address(email)
    return None if usable else Reason.EMAIL_MALFORMED


@lru_cache(maxsize=4096)
def _is_usable_domain(domain: str) -> bool:
    return _is_usable_address(f"anybody@{domain}")


def _is_usable_address(email: str) -> bool:
    # Here, because its expressions take long to compile, and most processes judge no address.
    from email_validator import EmailNotValidError, validate_email

    try:
        validate_email(email, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return False
    return "." in email.rpartition("@")[2]  # with these options the library accepts `localhost`


def expires_at(options: BadgeOptions, *, issued_at: datetime) -> datetime | Literal[False] | None:
    """Return the request's `expires_at`: None takes the template's default, False is never."""
    if options.expiry is Expiry.NEVER:
        return False
    if options.expiry is Expiry.AFTER_DAYS and options.expires_after_days is not None:
        return issued_at + timedelta(days=options.expires_after_days)
    return None
