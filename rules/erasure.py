"""Erased users: how they are recognised without being named, and what stands in the place of what named them."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from rules.choices import Mistake


class BadgesAtCredly(StrEnum):
    """What an erasure does with the user's badges at Credly."""

    LEAVE = "leave"
    REVOKE = "revoke"
    DELETE = "delete"


class UserErased(Mistake):
    """No badge is issued to an erased user. The message does not repeat the id, which would keep it anew."""

    def __init__(self, erased_at: datetime) -> None:
        super().__init__(f"user: this user was erased on {erased_at:%Y-%m-%d}; no badge is issued to an erased user.")


def user_digest(user_id: str) -> str:
    """Return the digest by which an erased user is recognised. Without a key: who has the user's id can make it."""
    return _digest("user", user_id)


def badge_digest(badge_id: str) -> str:
    """Return the digest by which the audit recognises an erased user's badge that Credly still has."""
    return _digest("badge", badge_id)


def is_erased(user_id: str, digests: Collection[str]) -> bool:
    """Say whether a user is among the erased ones; nothing is computed where there are none."""
    return bool(digests) and user_digest(user_id) in digests


def anonymous(issuance_id: int) -> str:
    """Return what stands for user and badge of an erased issuance, different for each.

    With "::", which no id has under which Credly can be asked for a badge: so no user of the platform is meant by it.
    """
    return f"erased::{issuance_id}"


def _digest(kind: str, value: str) -> str:
    return hashlib.sha256(f"laurel erased {kind}\0{value}".encode()).hexdigest()
