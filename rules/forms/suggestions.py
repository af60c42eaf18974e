"""What a form answers to an id that does not exist: the field, what is wrong, and similar ids."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from rules.forms.inputs import InvalidInput
from rules.markdown import code

_SHOWN = 3
LONGEST_TYPED = 60
_CREDLY_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CREDLY_IDS = re.compile(rf"(?<![0-9a-f]){_CREDLY_ID}(?![0-9a-f])", re.IGNORECASE)


def near_matches(typed: str, known: Mapping[str, str]) -> list[str]:
    """Return up to three of the known ids whose id or name is near to what was typed, the nearest first.

    `known` maps ids to names. Upper and lower case count as equal.
    """
    # Ids last: an id that equals another one's name stands for itself.
    by_text = {name.casefold(): key for key, name in known.items() if name} | {key.casefold(): key for key in known}
    texts = get_close_matches(typed.casefold(), by_text, n=_SHOWN * 2, cutoff=0.5)
    # A part of a long name is not near to it by its share of equal letters.
    contained = [text for text in by_text if typed and typed.casefold() in text]
    return list(dict.fromkeys(by_text[text] for text in [*texts, *contained]))[:_SHOWN]


def did_you_mean(typed: str, known: Mapping[str, str]) -> str:
    """Return a sentence with near matches, or with all known ids if they are few, or an empty text."""
    matches = near_matches(typed, known) or (sorted(known)[:_SHOWN] if len(known) <= _SHOWN else [])
    if not matches:
        return ""
    shown = ", ".join(f"{key} ({_short(known[key])})" if known[key] and known[key] != key else key for key in matches)
    return f" Did you mean {shown}?"


def unknown(field: str, typed: str, known: Mapping[str, str], *, instead: str = "", advice: str = "") -> InvalidInput:
    """Return the error for an id of the platform that does not exist; the field is named as what it holds.

    `known` maps ids, of those that may be meant, to names. `instead` is what has this id, such as "a user".
    """
    enter = f" Enter the {field}'s id on the platform{', not one of Credly' * is_credly_id(typed)}."
    if not typed:
        return InvalidInput(f"{field}: it is empty.{did_you_mean(typed, known) or enter}{advice}")
    other = f", but {instead} has this id" if instead else ""
    hint = did_you_mean(typed, known) or enter
    return InvalidInput(f"{field}: there is no {field} {code(typed, longest=LONGEST_TYPED)}{other}.{hint}{advice}")


def is_credly_id(text: str) -> bool:
    return _CREDLY_IDS.fullmatch(text.strip()) is not None


def ids_of_credly(text: str) -> list[str]:
    """Return the distinct ids in a text, such as the address of a page at Credly, in their order."""
    return list(dict.fromkeys(_CREDLY_IDS.findall(text)))


def no_credly_id(field: str, typed: str) -> InvalidInput:
    """Return the error for what is no id of Credly; ids in it, as in the address of a page, are suggested."""
    if not typed.strip():
        return InvalidInput(f"{field}: it is empty. Copy the id from the address of the page at Credly.")
    wrong = f"{field}: {code(typed, longest=LONGEST_TYPED)} is not an id of Credly."
    if inside := ids_of_credly(typed):
        return InvalidInput(f"{wrong} Enter the id alone: {' or '.join(map(code, inside[:_SHOWN]))}.")
    return InvalidInput(
        f"{wrong} Those look like 1a2b3c4d-1234-4abc-8def-1a2b3c4d5e6f; copy it from the address of the page at Credly."
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
