"""Issuing a badge: what is valid, what is a duplicate, what is stored (4.1, 4.2)."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from credly.standin.parsing import moment_of, text_in, truth_of
from credly.standin.settings import Assumptions
from credly.standin.store import Row, Store, text_of
from credly.standin.wire import ApiError

LOCALES = ("en", "fr", "de", "ko", "ja", "zh-CN", "pt", "es-ES", "es-US", "fr-CA", "pt-BR")
EVIDENCE_TYPES = ("UrlEvidence", "IdEvidence", "PlainTextEvidence", "KeyValueGroupEvidence")
_EMAIL = re.compile(r"[^@\s,;<>()\[\]\\\"]+@[^@\s,;<>()\[\]\\\"]+\.[^@\s.,;<>()\[\]\\\"]+")
_REQUIRED = ("recipient_email", "issued_to_first_name", "issued_to_last_name", "badge_template_id", "issued_at")
_TEXTS = (*_REQUIRED, "issued_to_middle_name", "issuer_earner_id", "country_name", "state_or_province")


def issue(store: Store, organization_id: str, fields: Mapping[str, Any], assumed: Assumptions) -> tuple[int, Row]:
    """Store a new badge and return 201 with it, or 200 with the badge that was passed over as identical.

    Raises:
        ApiError: 422, something is not valid, or the earner has this badge.
    """
    template = _template(store, organization_id, fields.get("badge_template_id"))
    _check(store, fields, assumed)
    row = _new_row(store, organization_id, template, fields)
    existing = duplicate_of(store, row, assumed)
    if existing is not None and not template["allow_duplicate_badges"]:
        behavior = fields.get("duplicate_behavior") or "deny"
        if behavior == "deny":
            raise ApiError(422, "User already has this badge")
        if behavior == "replace":
            if _same(existing, row):
                return 200, existing  # without a new badge, and without a mail (4.2)
            # `replace` keeps the date of the first badge, whatever the request has (4.2).
            return 201, _succeed(store, existing, row | {"issued_at": existing["issued_at"]})
    return 201, add(store, row)


def add(store: Store, row: Row) -> Row:
    store.put("badges", row)
    if not row["suppressed"]:
        mail = {"sent_at": row["created_at"], "kind": "issued", "badge_id": row["id"], "locale": row["locale"]}
        store.put("outbox", mail | {"recipient_email": row["recipient_email"]})
    return row


def replace(store: Store, old: Row, fields: Mapping[str, Any], assumed: Assumptions) -> Row:
    """Store a badge in place of another and return it (4.9).

    Raises:
        ApiError: 422, the badge was replaced, revoked or rejected already, or something is not valid.
    """
    if old["replacement_badge_id"]:
        raise ApiError(
            422,
            "Validation failed: This badge cannot be replaced because it has already been replaced.",
            metadata={"current_badge_id": _head_of_chain(store, old)},
        )
    if old["state"] in ("revoked", "rejected"):
        raise ApiError(422, f"Validation failed: This badge cannot be replaced because it has been {old['state']}.")
    kept = {
        "recipient_email": old["recipient_email"],
        "issued_to_first_name": old["first_name"],
        "issued_to_last_name": old["last_name"],
        "issued_to_middle_name": old["middle_name"],
        "issuer_earner_id": old["issuer_earner_id"],
    }
    # A replacement goes to the same address, whatever the request has (4.9).
    merged = {**kept, **{key: value for key, value in fields.items() if key != "recipient_email"}}
    template = _template(store, old["organization_id"], fields.get("badge_template_id"))
    _check(store, merged, assumed)
    return _succeed(store, old, _new_row(store, old["organization_id"], template, merged))


def _succeed(store: Store, old: Row, row: Row) -> Row:
    # A successor of an accepted badge needs no second acceptance.
    kept = {"state": old["state"], "state_updated_at": old["state_updated_at"], "replaces_badge_id": old["id"]}
    sql = "UPDATE badges SET replacement_badge_id = ?, updated_at = ? WHERE id = ?"
    store.execute(sql, row["id"], row["created_at"], old["id"])
    return add(store, row | kept)


def _head_of_chain(store: Store, row: Row) -> str:
    head = row
    while head["replacement_badge_id"]:
        following = store.badge(head["replacement_badge_id"])
        if following is None:
            break
        head = following
    return str(head["id"])


def revoke(store: Store, row: Row, fields: Mapping[str, Any]) -> Row:
    """Mark a badge as revoked and return it (4.10).

    Raises:
        ApiError: 422, there is no reason, or the badge is revoked, replaced or rejected already.
    """
    reason = str(fields.get("reason") or "").strip()
    if not reason:
        raise ApiError(422, "Validation failed: Reason can't be blank", errors={"reason": "can't be blank"})
    if row["replacement_badge_id"]:
        raise ApiError(422, "Validation failed: This badge cannot be revoked because it has been replaced.")
    if row["state"] in ("revoked", "rejected"):
        raise ApiError(422, f"Validation failed: This badge has already been {row['state']}.")
    stamp = text_of(store.now())
    store.execute(
        "UPDATE badges SET state = 'revoked', revocation_reason = ?, state_updated_at = ?, updated_at = ? WHERE id = ?",
        reason,
        stamp,
        stamp,
        row["id"],
    )
    if not truth_of(fields.get("suppress_revoke_notification_email")):
        mail = {"sent_at": stamp, "kind": "revoked", "badge_id": row["id"], "locale": row["locale"]}
        store.put("outbox", mail | {"recipient_email": row["recipient_email"]})
    return store.badge(row["id"]) or row


def duplicate_of(store: Store, row: Row, assumed: Assumptions) -> Row | None:
    """Return the badge of this template that the same address, account or issuer_earner_id has and that blocks."""
    keys = store.addresses_of(row["email_key"])
    marks = ", ".join("?" for _ in keys)
    states = "'pending', 'accepted', 'rejected'" if assumed.rejected_blocks else "'pending', 'accepted'"
    expired = "" if assumed.expired_blocks else " AND (expires_at IS NULL OR expires_at > ?)"
    # The plus keeps SQLite from going through all badges of the template: an earner has few.
    sql = (
        "SELECT * FROM badges WHERE +organization_id = ? AND +template_id = ? AND deleted = 0"  # noqa: S608 - marks only
        f" AND state IN ({states}) AND replacement_badge_id IS NULL"
        f" AND (email_key IN ({marks}) OR issuer_earner_id = ?){expired}"
    )
    values = [row["organization_id"], row["template_id"], *keys, row["issuer_earner_id"]]
    return store.one(sql, *values, *([] if assumed.expired_blocks else [text_of(store.now())]))


def _template(store: Store, organization_id: str, template_id: object) -> Row:
    template = store.template(text_in(template_id))
    if template is None or template["organization_id"] != organization_id or template["state"] != "active":
        raise ApiError(422, f"Invalid or missing Badge Template ID: {text_in(template_id)}")
    return template


def _check(store: Store, fields: Mapping[str, Any], assumed: Assumptions) -> None:
    faults = _faults(store, fields, assumed)
    if faults:
        text = ", ".join(f"{name.replace('_', ' ').capitalize()} {fault}" for name, fault in faults.items())
        raise ApiError(422, f"Validation failed: {text}", errors=faults)


def _faults(store: Store, fields: Mapping[str, Any], assumed: Assumptions) -> dict[str, str]:
    faults = {name: "can't be blank" for name in _REQUIRED if not text_in(fields.get(name)).strip()}
    for name in _TEXTS:
        if len(text_in(fields.get(name))) > assumed.longest_text:
            faults[name] = f"is too long (maximum is {assumed.longest_text} characters)"
    if "recipient_email" not in faults and not _EMAIL.fullmatch(str(fields["recipient_email"]).strip()):
        faults["recipient_email"] = "is invalid"
    if "issued_at" not in faults and moment_of(fields["issued_at"]) is None:
        faults["issued_at"] = "is not a valid date"
    if not _never_or_default(fields.get("expires_at")) and moment_of(fields["expires_at"]) is None:
        faults["expires_at"] = "is not a valid date"
    issued_at = moment_of(fields.get("issued_at"))
    if assumed.future_issued_at_is_refused and issued_at and issued_at > store.now():
        faults["issued_at"] = "can't be in the future"
    if fields.get("locale") and fields["locale"] not in LOCALES:
        faults["locale"] = "is not included in the list"
    if fields.get("duplicate_behavior") not in (None, "", "replace", "allow", "deny"):
        faults["duplicate_behavior"] = "is not included in the list"
    if fault := _fault_of_evidence(fields.get("evidence")):
        faults["evidence"] = fault
    return faults


def _fault_of_evidence(evidence: object) -> str | None:
    if evidence in (None, "", []):
        return None
    if not isinstance(evidence, list) or not all(isinstance(entry, dict) for entry in evidence):
        return "must be a list of objects"
    for entry in evidence:
        if entry.get("type") not in EVIDENCE_TYPES:
            return "has an unknown type"
        if entry["type"] == "UrlEvidence":
            parts = urlsplit(str(entry.get("value") or ""))
            if parts.scheme not in ("http", "https") or not parts.hostname or not str(entry.get("name") or "").strip():
                return "has an invalid URL or no name"
    return None


def _new_row(store: Store, organization_id: str, template: Row, fields: Mapping[str, Any]) -> Row:
    stamp = text_of(store.now())
    issued_at = moment_of(fields["issued_at"])
    if issued_at is None:
        raise AssertionError(f"issued_at was checked, and is no moment: {fields['issued_at']!r}")
    email = text_in(fields["recipient_email"]).strip()
    return {
        "id": str(uuid4()),
        "organization_id": organization_id,
        "template_id": template["id"],
        "recipient_email": email,
        "email_key": email.lower(),
        "issuer_earner_id": text_in(fields.get("issuer_earner_id")) or None,
        "first_name": text_in(fields["issued_to_first_name"]).strip(),
        "middle_name": text_in(fields.get("issued_to_middle_name")) or None,
        "last_name": text_in(fields["issued_to_last_name"]).strip(),
        "state": "pending",
        "public": 1,
        "issued_at": text_of(issued_at.replace(microsecond=0)),
        "expires_at": _expiry(fields.get("expires_at"), template),
        "created_at": stamp,
        "updated_at": stamp,
        "state_updated_at": None,
        "locale": fields.get("locale") or "en",
        "suppressed": int(truth_of(fields.get("suppress_badge_notification_email"))),
        "country": text_in(fields.get("country_name")) or None,
        "state_or_province": text_in(fields.get("state_or_province")) or None,
        "revocation_reason": None,
        "replaces_badge_id": None,
        "replacement_badge_id": None,
        "evidence": json.dumps([{**entry, "id": str(uuid4())} for entry in fields.get("evidence") or []]),
    }


def _never_or_default(expires_at: object) -> bool:
    return expires_at is None or expires_at is False or expires_at in ("", "false")


def _expiry(expires_at: object, template: Row) -> str | None:
    if expires_at is False or expires_at == "false":
        return None
    moment = moment_of(expires_at)
    return text_of(moment) if moment else template["default_expires_at"]


def _same(existing: Row, row: Row) -> bool:
    compared = (
        *("email_key", "issuer_earner_id", "first_name", "middle_name", "last_name"),
        *("expires_at", "country", "state_or_province"),
    )
    # Each stored entry of evidence has an id of its own, which no request has.
    bare = [[{k: v for k, v in e.items() if k != "id"} for e in json.loads(r["evidence"])] for r in (existing, row)]
    return bare[0] == bare[1] and all(existing[name] == row[name] for name in compared)
