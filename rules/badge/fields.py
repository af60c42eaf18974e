"""The fields of a request as text for operators."""

from datetime import datetime

from rules.badge.evidence import EvidenceKind
from rules.badge.masking import mask_email, mask_name
from rules.badge.request import Prepared
from rules.wording import moment


def fields_of(prepared: Prepared, *, masked: bool = True) -> list[tuple[str, str]]:
    """Return each field with what would be sent in it, and what is left out with its reason.

    Personal values are masked unless the caller may show them; moments are in UTC.
    """
    request = prepared.request
    name, email = (mask_name, mask_email) if masked else (str, str)
    rows = [
        ("recipient_email", email(request.recipient_email)),
        ("issued_to_first_name", name(request.issued_to_first_name)),
        ("issued_to_last_name", name(request.issued_to_last_name)),
        ("badge_template_id", request.badge_template_id),
        ("issued_at", moment(request.issued_at)),
        ("expires_at", _expiry(request.expires_at)),
        ("locale", request.locale or "–"),
        ("Credly's e-mail", "suppressed" if request.suppress_badge_notification_email else "sent"),
    ]
    for kind, item in zip(prepared.kinds, request.evidence, strict=True):
        # A profile link often contains the user's name, so it is masked as well. A static name is on every badge.
        hidden = masked and kind is EvidenceKind.USER
        shown = mask_name(item.name) if hidden and kind not in prepared.static_names else item.name
        link = "a link to the user's profile" if hidden else item.value
        rows.append((f"evidence: {kind}", f"{shown} → {link}"))
        if item.description:
            rows.append((f"evidence: {kind}, description", item.description))
    return rows + [(f"left out: {kind}", why.sentence) for kind, why in prepared.left_out]


def _expiry(expires_at: datetime | bool | None) -> str:
    if isinstance(expires_at, datetime):
        return moment(expires_at)
    return "the template's default" if expires_at is None else "never"
