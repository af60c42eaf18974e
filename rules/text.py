"""Text as people type it, made fit to send."""

import unicodedata


def tidy(text: str | None) -> str:
    """Return the text without control and invisible edge characters, runs of blanks as one; None is "".

    Joiners inside a word stay: several scripts need them. Text of invisible characters only comes back empty.
    """
    if not text:
        return ""
    kept = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    folded = " ".join(kept.split())
    visible = any(unicodedata.category(c)[0] not in "CZ" for c in folded)
    return folded if visible else ""
