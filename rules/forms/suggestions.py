"""Suggestions for a mistyped id."""

from collections.abc import Mapping
from difflib import get_close_matches

_SHOWN = 3


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


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
