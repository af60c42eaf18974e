"""What a person may have meant."""

from collections.abc import Mapping
from difflib import get_close_matches

_SHOWN = 3


def near_matches(typed: str, known: Mapping[str, str]) -> list[str]:
    """Return up to three of the known ids whose id or name is near to what was typed, the nearest first.

    `known` maps ids to names. Upper and lower case count as equal.
    """
    by_text = {name.casefold(): key for key, name in known.items() if name} | {key.casefold(): key for key in known}
    texts = get_close_matches(typed.casefold(), by_text, n=_SHOWN * 2, cutoff=0.5)
    contained = [text for text in by_text if typed and typed.casefold() in text]
    return list(dict.fromkeys(by_text[text] for text in [*texts, *contained]))[:_SHOWN]


def did_you_mean(typed: str, known: Mapping[str, str]) -> str:
    """Return a sentence that names near matches, or all that there are if they are few, or nothing."""
    found = near_matches(typed, known) or (sorted(known)[:_SHOWN] if len(known) <= _SHOWN else [])
    if not found:
        return ""
    shown = ", ".join(f"{key} ({_short(known[key])})" if known[key] and known[key] != key else key for key in found)
    return f" Did you mean {shown}?"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
