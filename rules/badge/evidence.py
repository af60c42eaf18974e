"""Which evidence goes on a badge. All of it is publicly visible on the badge's page at Credly."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rules.badge.text import UNREADABLE, sent_name, tidy

if TYPE_CHECKING:
    from credly.wire import UrlEvidence


class EvidenceKind(StrEnum):
    """The kinds of evidence, in the order in which they are sent."""

    USER = "user"
    COMPANY = "company"
    PROJECT = "project"
    PORTAL = "portal"


class LeftOut(StrEnum):
    """Why evidence that is switched on for an integration is not on a badge. The badge is issued without it."""

    NOT_ON_AWARD = "not_on_award"
    NO_LINK = "no_link"
    LINK_NOT_HTTP = "link_not_http"
    LINK_HAS_CREDENTIALS = "link_has_credentials"
    NO_NAME = "no_name"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    LeftOut.NOT_ON_AWARD: "The award has none.",
    LeftOut.NO_LINK: "It has no link on the platform.",
    LeftOut.LINK_NOT_HTTP: "Its link is not an http or https address.",
    LeftOut.LINK_HAS_CREDENTIALS: "Its link contains a user name or password, and evidence is public.",
    LeftOut.NO_NAME: "It has no readable name on the platform, and the integration gives no static name.",
}


@dataclass(frozen=True, kw_only=True)
class EvidenceSetting:
    """The settings of one kind of evidence of an integration. Blank static texts count as none."""

    enabled: bool = False
    static_name: str = ""
    static_description: str = ""


@dataclass(frozen=True, kw_only=True)
class EvidenceSource:
    """The platform's data for one kind of evidence of one award."""

    name: str | None = None
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResolvedEvidence:
    """The evidence to send, the kinds that are switched on but left out, and those sent with a static name."""

    items: "tuple[UrlEvidence, ...]" = ()
    kinds: tuple[EvidenceKind, ...] = ()
    left_out: tuple[tuple[EvidenceKind, LeftOut], ...] = ()
    static_names: frozenset[EvidenceKind] = frozenset()


def resolve_evidence(
    settings: Mapping[EvidenceKind, EvidenceSetting],
    sources: Mapping[EvidenceKind, EvidenceSource | None],
) -> ResolvedEvidence:
    """Return the evidence to send in the order of `EvidenceKind`, and what is left out with its reason.

    A static name replaces the looked-up name and a static description is added, but neither makes evidence
    of something that does not apply to the award. `sources` has no entry, or None, for what is not on the award.
    """
    items: dict[EvidenceKind, UrlEvidence] = {}
    left_out: list[tuple[EvidenceKind, LeftOut]] = []
    for kind in EvidenceKind:
        setting = settings.get(kind, EvidenceSetting())
        if not setting.enabled:
            continue
        resolved = _resolve_one(setting, sources.get(kind))
        if isinstance(resolved, LeftOut):
            left_out.append((kind, resolved))
        else:
            items[kind] = resolved
    return ResolvedEvidence(
        items=tuple(items.values()),
        kinds=tuple(items),
        left_out=tuple(left_out),
        static_names=frozenset(kind for kind in items if tidy(settings[kind].static_name)),
    )


def _resolve_one(setting: EvidenceSetting, source: EvidenceSource | None) -> "UrlEvidence | LeftOut":
    if source is None:
        return LeftOut.NOT_ON_AWARD
    link = (source.link or "").strip()
    if not link:
        return LeftOut.NO_LINK
    if fault := fault_of_link(link):
        return fault
    name = tidy(setting.static_name) or sent_name(source.name)
    if not name or UNREADABLE in name:
        return LeftOut.NO_NAME
    from credly.wire import UrlEvidence  # here, because nearly everything imports this module, for the settings

    return UrlEvidence(name=name, value=link, description=tidy(setting.static_description))


@lru_cache(maxsize=4096)  # the link of a portal, company or project is on many badges
def fault_of_link(link: str) -> LeftOut | None:
    """Return why a link may not become public evidence, or None if it may."""
    try:
        parts = urlsplit(link)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises for a port that is not a number
    except ValueError:
        return LeftOut.LINK_NOT_HTTP
    if not usable or " " in link or UNREADABLE in link or not link.isprintable():
        return LeftOut.LINK_NOT_HTTP
    # Evidence is public, and with it a user name or password in its address.
    if parts.username is not None or parts.password is not None:
        return LeftOut.LINK_HAS_CREDENTIALS
    return None
