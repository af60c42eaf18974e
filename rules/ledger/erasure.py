"""Erased users: the digests that identify them, and what replaces their ids in the ledger."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from rules.forms.inputs import InvalidInput


class BadgesAtCredly(StrEnum):
    """What happens to an erased user's badges at Credly."""

    LEAVE = "leave"
    REVOKE = "revoke"
    DELETE = "delete"


class UserErased(InvalidInput):
    """No badge is issued to an erased user. The message has no user id: logs would keep it after the erasure."""

    def __init__(self, erased_at: datetime) -> None:
        super().__init__(
            f"user: this user was erased on {erased_at:%Y-%m-%d}; nothing is kept of the user, and no badge is issued."
        )


def user_digest(user_id: str) -> str:
    """Return the digest that identifies an erased user. It has no key: whoever has the user's id can compute it."""
    return _digest("user", user_id)


def badge_digest(badge_id: str) -> str:
    """Return the digest by which the audit recognizes a badge of an erased user at Credly."""
    return _digest("badge", badge_id)


def is_erased(user_id: str, digests: Collection[str]) -> bool:
    # Usually there are none, and a batch checks every user.
    return bool(digests) and user_digest(user_id) in digests


def anonymous(issuance_id: int) -> str:
    """Return the replacement of the user id and badge id of an erased issuance, unique for each."""
    # With "::", which Credly's filter cannot express: so it equals no user id for which badges are issued.
    return f"erased::{issuance_id}"


def _digest(kind: str, value: str) -> str:
    return hashlib.sha256(f"laurel erased {kind}\0{value}".encode()).hexdigest()
