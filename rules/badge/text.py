"""Normalizes typed text before it is sent."""

import unicodedata

_REMOVED = ("Cc", "Cs")
_INVISIBLE = (*_REMOVED, "Cf", "Zs", "Zl", "Zp")


def tidy(text: str | None) -> str:
    """Return the text without control and invisible edge characters, runs of blanks as one; None is "".

    Joiners inside a word stay: several scripts need them. Text of invisible characters only comes back empty.
    """
    # Nearly every text ends here. A printable text has no blank but the plain one, and no control character.
    if text and text.isprintable():
        return " ".join(text.split())
    kept = "".join(c for c in text or "" if c.isspace() or unicodedata.category(c) not in _REMOVED)
    visible = [index for index, c in enumerate(kept) if unicodedata.category(c) not in _INVISIBLE]
    return " ".join(kept[visible[0] : visible[-1] + 1].split()) if visible else ""
