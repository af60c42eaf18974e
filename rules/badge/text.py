"""Normalizes text before it is sent, and finds what no name or static text should have.

The tables of this module are in docs/reference/names.md; a test has an example of each line.
"""

import html
import re
import unicodedata
from enum import StrEnum

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
_REMOVED = ("Cc", "Cs")
_INVISIBLE = (*_REMOVED, "Cf", "Zs", "Zl", "Zp")
# At the ends of a placeholder: punctuation, separators, and symbols such as < and |, but no pictures.
_AROUND = ("P", "Z", "Sm", "Sc", "Sk")

PLACEHOLDERS = frozenset(
    {
        *("undefined", "null", "none", "n/a", "n.a", "unknown", "not available", "not applicable", "not set"),
        *("no name", "noname", "first name", "firstname", "last name", "lastname", "object object"),
    }
)
# Also names of people: they count as missing only beside another name that is missing.
DOUBTFUL_PLACEHOLDERS = frozenset(("na", "nan", "nil", "x"))


class Oddity(StrEnum):
    """What a name or a static text should not have."""

    BIDI_CONTROL = "bidi_control"
    ZERO_WIDTH = "zero_width"
    FILLER = "filler"
    TAG = "tag"
    HTML_ENTITY = "html_entity"
    MOJIBAKE = "mojibake"
    UNREADABLE = "unreadable"

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def consequence(self) -> str:
        if self is Oddity.UNREADABLE:
            return "nothing with them is sent"
        return "they are sent without it" if self in _HIDDEN else "they are sent as they are"


_WORDS = {
    Oddity.BIDI_CONTROL: "a character that turns the direction of text",
    Oddity.ZERO_WIDTH: "a character without width",
    Oddity.FILLER: "a character that looks like a blank",
    Oddity.TAG: "an invisible tag or annotation character",
    Oddity.HTML_ENTITY: "an HTML entity",
    Oddity.MOJIBAKE: "UTF-8 that was read in another encoding, such as Ã¼ for ü",
    Oddity.UNREADABLE: "bytes that are not UTF-8",
}
# Removed from names.
_HIDDEN = {
    Oddity.BIDI_CONTROL: "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069",
    Oddity.ZERO_WIDTH: "\u00ad\u034f\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff",
    Oddity.FILLER: "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0",
    Oddity.TAG: "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f",
}
_PATTERNS = {oddity: re.compile(f"[{characters}]") for oddity, characters in _HIDDEN.items()}
# Several scripts, and pictures, need joiners; after an ASCII character, or as the first one, they do nothing.
_PATTERNS[Oddity.ZERO_WIDTH] = re.compile(f"[{_HIDDEN[Oddity.ZERO_WIDTH]}]|(?<![^\x00-\x7f])[\u200c\u200d]")
_ANY_HIDDEN = re.compile("|".join(pattern.pattern for pattern in _PATTERNS.values()))
# What an odd name matches, as a class of characters or a few in sequence: for a search in SQL, before `oddities`.
SEARCHED = (
    f"[{''.join(_HIDDEN.values())}{UNREADABLE}]",
    "[ -~][\u200c\u200d]",
    "[Â-ô][\x80-¿€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]",
)
_ENTITY = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# A first byte of UTF-8 and those after it, as they are in Windows-1252.
_BYTES = re.compile(f"{SEARCHED[-1]}+")


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


def sent_name(name: str | None) -> str:
    """Return the name as it is sent: tidy, and without hidden characters."""
    if name is None or name.isascii():
        return tidy(name)
    return tidy(_ANY_HIDDEN.sub("", name))


def sent_names(first_name: str | None, last_name: str | None) -> tuple[str, str]:
    """Return a user's names as they are sent, "" for one that is missing or a placeholder."""
    first, last = sent_name(first_name), sent_name(last_name)
    cores = _core(first), _core(last)
    missing = [not core or core in PLACEHOLDERS for core in cores]
    doubtful = [core in DOUBTFUL_PLACEHOLDERS for core in cores]
    both = all(no or maybe for no, maybe in zip(missing, doubtful, strict=True))
    first_missing, last_missing = (no or (maybe and both) for no, maybe in zip(missing, doubtful, strict=True))
    return "" if first_missing else first, "" if last_missing else last


def _core(name: str) -> str:
    if name.isalpha():
        return name.casefold()
    name = unicodedata.normalize("NFKC", name)
    start, end = 0, len(name)
    while start < end and unicodedata.category(name[start]).startswith(_AROUND):
        start += 1
    while end > start and unicodedata.category(name[end - 1]).startswith(_AROUND):
        end -= 1
    return " ".join(name[start:end].casefold().replace("_", " ").split())


def oddities(text: str) -> list[Oddity]:
    """Return what the text has that no name or static text should have."""
    found = [oddity for oddity, pattern in _PATTERNS.items() if pattern.search(text)] if not text.isascii() else []
    if any(html.unescape(each) != each for each in _ENTITY.findall(text)):
        found.append(Oddity.HTML_ENTITY)
    if any(map(_is_mojibake, _BYTES.findall(text))):
        found.append(Oddity.MOJIBAKE)
    return [*found, Oddity.UNREADABLE] if UNREADABLE in text else found


def _is_mojibake(part: str) -> bool:
    # Windows-1252 has no character for five bytes, which then are control characters.
    raw = b"".join(c.encode("latin-1") if c < "\u0100" else c.encode("cp1252") for c in part)
    return raw.decode("utf-8", "ignore") != ""
