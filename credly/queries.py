"""Queries of lists: filters, pages, ids in paths. Pure functions."""

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, urlsplit

from credly.errors import UnsafeFilterValue
from credly.replies import Reply
from credly.wire import Badge, is_id

Query = tuple[tuple[str, str], ...]
_LONGEST_ADDRESS = 8_000  # bytes of the next page's


def filter_expression(terms: Mapping[str, str], *, states: tuple[str, ...]) -> str:
    """Credly's filter expression; the syntax has no escape, so an unsafe value is refused (UnsafeFilterValue)."""
    for key, value in [*terms.items(), *(("state", state) for state in states)]:
        if not value or not value.isprintable() or any(mark in value for mark in ("|", ",", "::")):
            raise UnsafeFilterValue(f"{key} is empty or holds |, a comma, :: or a control character")
    parts = [f"{key}::{value}" for key, value in terms.items()]
    return "|".join([*parts, f"state::{','.join(states)}"] if states else parts)


def any_of(**terms: Iterable[str]) -> str:
    """Credly's filter expression for rows that have one of the values of each key; unsafe values are refused."""
    parts = []
    for key, values in terms.items():
        safe = [filter_expression({key: value}, states=()).removeprefix(f"{key}::") for value in values]
        parts.append(f"{key}::{','.join(safe)}")
    return "|".join(parts)


def matches_look_up(badge: Badge, *, filters: Mapping[str, str], states: tuple[str, ...]) -> bool:
    """Whether a row matches the filters of a look-up: template, state, and earner id or address if given."""
    email = filters.get("recipient_email", badge.recipient_email)
    return (
        badge.badge_template_id == filters["badge_template_id"]
        and badge.issuer_earner_id == filters.get("issuer_earner_id", badge.issuer_earner_id)
        and (badge.recipient_email or "").lower() == (email or "").lower()
        and (not states or badge.state in states)
    )


def may_match_look_up(badge: Badge, *, filters: Mapping[str, str], states: tuple[str, ...]) -> bool:
    """Whether an incomplete row may match a look-up: what it has fits; template, state or earner is missing."""
    email, earner = filters.get("recipient_email"), filters.get("issuer_earner_id")
    fits = (
        badge.badge_template_id in (None, filters["badge_template_id"])
        and (not states or badge.state in (None, *states))
        and (earner is None or badge.issuer_earner_id in (None, "", earner))
        and (email is None or badge.recipient_email is None or badge.recipient_email.lower() == email.lower())
    )
    # Either of the two names the earner: a look-up by both is made as two calls, one for each.
    has_earner = bool(badge.issuer_earner_id or badge.recipient_email)
    return fits and not (badge.badge_template_id and has_earner and (badge.state or not states))


def is_last_page(metadata: object) -> bool | None:
    """Whether the list ends here; None when the metadata is missing or incomplete."""
    if not isinstance(metadata, Mapping):
        return None
    current, total = metadata.get("current_page"), metadata.get("total_pages")
    # Whichever ends first: the total may grow while the pages are read.
    if isinstance(current, int) and isinstance(total, int):
        return current >= total or metadata.get("next_page_url", "") is None
    return metadata["next_page_url"] is None if "next_page_url" in metadata else None


def next_query(reply: Reply, *, own: Mapping[str, str]) -> Query | None:
    """The query of the bulk read's next page, None at the end.

    Keys may repeat in it, so it stays pairs. Of the keys in `own` the reply's values are dropped.

    Raises:
        Unclear: the reply has no readable address of the next page.
    """
    metadata = reply.payload.get("metadata")
    following = metadata.get("next_page_url") if isinstance(metadata, Mapping) else ""
    if following is None:
        return None
    try:
        is_usable = len(following.encode()) <= _LONGEST_ADDRESS
        pairs = parse_qsl(urlsplit(following).query, keep_blank_values=True) if is_usable else []
    except (ValueError, AttributeError, TypeError):
        pairs = []
    if not pairs:
        raise reply.unclear("incomplete_reply")
    return (*own.items(), *((key, value) for key, value in pairs if key not in own))


def path_segment(value: str, *, name: str) -> str:
    """The id as part of a path, refused where it could lead to another one."""
    if not is_id(value):
        raise ValueError(f"{name} must be an id as Credly shows it: not empty, without / ? # or ..")
    return quote(value, safe="")
