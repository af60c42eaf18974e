"""What the ledger keeps of the name on a badge: enough to notice that the platform has another one since."""

import hashlib
import unicodedata

from credly.wire import Badge, BadgeRequest
from rules.badge.issuance_data import IssuanceFacts
from rules.badge.request import LONGEST_TEXT
from rules.badge.text import UNREADABLE, sent_names

# Hexadecimal digits: few, so that many names share a digest, and a correction is missed once in four billion.
_DIGITS = 8


def name_digest(issuance_id: int, first_name: str | None, last_name: str | None) -> str | None:
    """Return a digest of a name as it is sent, and which of its two parts there are; None if it cannot be sent.

    It differs between issuances, so that neither equal names nor the badges of one user are recognized by it.
    """
    names = [unicodedata.normalize("NFC", name) for name in sent_names(first_name, last_name)]
    if not any(names) or any(UNREADABLE in name or len(name) > LONGEST_TEXT for name in names):
        return None
    digest = hashlib.sha256("\0".join([f"laurel name {issuance_id}", *names]).encode()).hexdigest()
    return digest[:_DIGITS] + "".join("1" if name else "0" for name in names)


def digest_on_badge(
    facts: IssuanceFacts, badge: Badge | None, request: BadgeRequest | None, *, adopted: bool
) -> str | None:
    """Return the digest of the name on a badge that was issued; None if there is none or its name is unknown."""
    if badge is None:
        return None
    present = name_digest(facts.issuance_id, facts.first_name, facts.last_name)
    if not adopted:
        return present
    # Made by an earlier call, perhaps before the name was corrected. Credly has what was sent for a missing name.
    if badge.issued_to_first_name is None or badge.issued_to_last_name is None:
        return None
    shown = name_digest(facts.issuance_id, badge.issued_to_first_name, badge.issued_to_last_name)
    if request is None:
        return shown
    sent = name_digest(facts.issuance_id, request.issued_to_first_name, request.issued_to_last_name)
    return present if shown == sent else shown


def is_corrected(before: str | None, now: str | None) -> bool:
    """Whether a name is another one than before; not if it is unknown, or has lost one of its parts."""
    if before is None or now is None or before == now:
        return False
    return all(part <= present for part, present in zip(before[_DIGITS:], now[_DIGITS:], strict=True))
