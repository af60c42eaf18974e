"""The result of a form, as its operator reads it, and the wording of counts, moments and calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from rules.markdown import plain


def counted(count: int, noun: str) -> str:
    """Return the count with its noun: `1 badge`, `2 badges`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def moment(at: datetime | None) -> str:
    """Return an aware moment in words: `2026-11-02 08:15:42 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown moment"


@dataclass(frozen=True, kw_only=True)
class FormResult:
    """The outcome in a sentence (the message of the run's state), and a page with what was done and what to do next.

    `outcome` is the sentence in a few words, for the end of the run's name. `rows` are a table beside the page.
    `failed`: a part of the work could not be done.
    """

    sentence: str
    outcome: str = ""
    page: str = ""
    done: bool = True
    failed: bool = False
    needs_attention: bool = False
    link: str | None = None
    rows: Sequence[Mapping[str, Any]] = ()

    def with_notes(self, notes: Sequence[str]) -> "FormResult":
        """Return the result with these sentences added to its message and page."""
        text = "".join(f". {note}" for note in notes)
        return replace(self, sentence=f"{self.sentence}{text}", page=f"{self.page}\n\n{plain(text[2:], longest=1000)}")


def nothing_to_do(why: str) -> FormResult:
    """Return the result of a form whose request is met already, which is no failure."""
    sentence = f"Nothing to do: {why}"
    return FormResult(sentence=sentence, page=f"# Nothing to do\n\n{plain(sentence, longest=500)}.")


CALLS = {
    "issue": "Sent the badge to Credly",
    "replace": "Sent the badge to Credly in place of the earlier one",
    "look_up": "Looked the badge up at Credly",
    "revoke": "Revoked the badge at Credly",
}
ANSWERS = {
    "issued": "it was issued",
    "found": "it exists",
    "not_found": "it was not found",
    "refused": "refused",
    "throttled": "too many calls",
    "not_sent": "Credly could not be reached, nothing was sent",
    "unclear": "the response was lost, so the badge may exist",
    "not_connected": "the token or the organization was refused",
    "revoked": "it was revoked",
}
