"""Masked personal data: enough for an operator to recognize a user, too little to identify one."""

from rules.badge.text import tidy

HIDDEN = "…"


def mask_user(first_name: str | None, last_name: str | None, address: str | None) -> str:
    """Return what identifies a user to an operator: `A… B… a…@e…`."""
    return " ".join(filter(None, (mask_name(tidy(first_name)), mask_name(tidy(last_name)), mask_email(tidy(address)))))


def mask_name(name: str | None) -> str:
    """Return the first character and an ellipsis; blank stays blank."""
    return f"{name[0]}{HIDDEN}" if name else ""


def mask_email(address: str | None) -> str:
    """Return first characters of local part and domain: `a…@e…`."""
    if not address:
        return ""
    # From the right: a quoted local part may contain an @.
    local, _, domain = address.rpartition("@")
    return f"{mask_name(local)}@{mask_name(domain)}"
