"""Which evidence goes on a badge: every combination of what is asked for and what the platform has."""

from itertools import chain, combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.badge.evidence import (
    EvidenceKind,
    EvidenceSetting,
    EvidenceSource,
    LeftOut,
    fault_of_link,
    resolve_evidence,
)

LINK = "https://platform.example.org/it?a=1#top"
PRESENT = EvidenceSource(name="Its name", link=LINK)
NO_LINK = EvidenceSource(name="Its name", link=None)
NOT_THERE = None
BLANK = " \t\n\u200b"
TEXTS = {"none": "", "given": "A static text", "blank": BLANK}

BAD_LINKS = {
    "ftp://files.example.org/x": LeftOut.LINK_NOT_HTTP,
    "javascript:alert(1)": LeftOut.LINK_NOT_HTTP,
    "JavaScript://example.org/%0aalert(1)": LeftOut.LINK_NOT_HTTP,
    "mailto:ada@example.org": LeftOut.LINK_NOT_HTTP,
    "data:text/html,hello": LeftOut.LINK_NOT_HTTP,
    "file:///etc/passwd": LeftOut.LINK_NOT_HTTP,
    "platform.example.org/people/ada": LeftOut.LINK_NOT_HTTP,
    "/people/ada": LeftOut.LINK_NOT_HTTP,
    "//platform.example.org/people/ada": LeftOut.LINK_NOT_HTTP,
    "https://": LeftOut.LINK_NOT_HTTP,
    "https:///people/ada": LeftOut.LINK_NOT_HTTP,
    "https://:443/people": LeftOut.LINK_NOT_HTTP,
    "https:people": LeftOut.LINK_NOT_HTTP,
    "https://[::1/x": LeftOut.LINK_NOT_HTTP,
    "https://example.org:port/x": LeftOut.LINK_NOT_HTTP,
    "https://example.org:99999/x": LeftOut.LINK_NOT_HTTP,
    "https://example.org/a b": LeftOut.LINK_NOT_HTTP,
    "https://example.org/a\tb": LeftOut.LINK_NOT_HTTP,
    "https://example.org/a\r\nX-Header: b": LeftOut.LINK_NOT_HTTP,
    "https://example.org/a\x00b": LeftOut.LINK_NOT_HTTP,
    "https://example.org/a\u200bb": LeftOut.LINK_NOT_HTTP,
    "https://example.org/\u202egpj": LeftOut.LINK_NOT_HTTP,
    "https://ada@example.org/": LeftOut.LINK_HAS_CREDENTIALS,
    "https://ada:secret@example.org/": LeftOut.LINK_HAS_CREDENTIALS,
    "https://:secret@example.org/": LeftOut.LINK_HAS_CREDENTIALS,
    "https://@example.org/": LeftOut.LINK_HAS_CREDENTIALS,
}
GOOD_LINKS = [
    "http://example.org",
    "HTTPS://EXAMPLE.ORG/X",
    "https://example.org:8443/x",
    "https://example.org/a@b",
    "https://example.org/?next=ftp://x",
    "https://[2001:db8::1]/x",
    "https://bücher.example/ä",
]


@pytest.mark.parametrize("kind", EvidenceKind)
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("source", [PRESENT, NO_LINK, NOT_THERE], ids=["present", "no link", "not there"])
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("description", TEXTS)
def test_one_kind_alone(
    kind: EvidenceKind, enabled: bool, source: EvidenceSource | None, name: str, description: str
) -> None:
    setting = EvidenceSetting(enabled=enabled, static_name=TEXTS[name], static_description=TEXTS[description])

    resolved = resolve_evidence({kind: setting}, {kind: source})

    if not enabled:
        assert (resolved.items, resolved.kinds, resolved.left_out) == ((), (), ())
    elif source is not PRESENT:
        why = LeftOut.NOT_ON_AWARD if source is None else LeftOut.NO_LINK
        assert (resolved.items, resolved.kinds, resolved.left_out) == ((), (), ((kind, why),))
    else:
        (item,) = resolved.items
        assert item.name == ("A static text" if name == "given" else "Its name")
        assert item.description == ("A static text" if description == "given" else "")
        assert item.value == LINK
        assert (resolved.kinds, resolved.left_out) == ((kind,), ())


@pytest.mark.parametrize("enabled", list(product([True, False], repeat=4)))
def test_every_set_of_kinds_with_every_set_of_what_is_there(enabled: tuple[bool, ...]) -> None:
    """All 16 × 81 combinations: each kind asked for or not, with its source present, without a link or missing."""
    asked = {
        kind: EvidenceSetting(enabled=on, static_name=f"Static {kind}")
        for kind, on in zip(EvidenceKind, enabled, strict=True)
    }
    for sources in product([PRESENT, NO_LINK, NOT_THERE], repeat=4):
        found = dict(zip(EvidenceKind, sources, strict=True))

        resolved = resolve_evidence(asked, found)

        sent = [kind for kind in EvidenceKind if asked[kind].enabled and found[kind] is PRESENT]
        left_out = [
            (kind, LeftOut.NO_LINK if found[kind] else LeftOut.NOT_ON_AWARD)
            for kind in EvidenceKind
            if asked[kind].enabled and found[kind] is not PRESENT
        ]
        assert list(resolved.kinds) == sent
        assert [item.name for item in resolved.items] == [f"Static {kind}" for kind in sent]
        assert list(resolved.left_out) == left_out


def test_evidence_is_sent_in_one_order_whatever_the_order_of_the_settings() -> None:
    backwards = {kind: EvidenceSetting(enabled=True) for kind in reversed(EvidenceKind)}
    found = {kind: EvidenceSource(name=kind.value, link=LINK) for kind in reversed(EvidenceKind)}

    resolved = resolve_evidence(backwards, found)

    assert resolved.kinds == (EvidenceKind.USER, EvidenceKind.COMPANY, EvidenceKind.PROJECT, EvidenceKind.PORTAL)
    assert [item.name for item in resolved.items] == ["user", "company", "project", "portal"]


def test_kinds_of_which_nothing_is_said_are_off() -> None:
    assert resolve_evidence({}, dict.fromkeys(EvidenceKind, PRESENT)).items == ()
    assert resolve_evidence({EvidenceKind.USER: EvidenceSetting(enabled=True)}, {}).left_out == (
        (EvidenceKind.USER, LeftOut.NOT_ON_AWARD),
    )


@pytest.mark.parametrize("static_name", TEXTS)
@pytest.mark.parametrize(("link", "why"), BAD_LINKS.items())
def test_a_link_that_may_not_be_public_is_left_out_with_its_reason(link: str, why: LeftOut, static_name: str) -> None:
    asked = {EvidenceKind.PORTAL: EvidenceSetting(enabled=True, static_name=TEXTS[static_name])}

    resolved = resolve_evidence(asked, {EvidenceKind.PORTAL: EvidenceSource(name="Northwind", link=link)})

    assert resolved.items == ()
    assert resolved.left_out == ((EvidenceKind.PORTAL, why),)


@pytest.mark.parametrize("link", GOOD_LINKS)
def test_a_usable_link_is_sent_as_it_is(link: str) -> None:
    asked = {EvidenceKind.PORTAL: EvidenceSetting(enabled=True)}

    resolved = resolve_evidence(asked, {EvidenceKind.PORTAL: EvidenceSource(name="Northwind", link=f"\n {link}\t")})

    assert [item.value for item in resolved.items] == [link]
    assert fault_of_link(link) is None


@pytest.mark.parametrize("link", ["", " ", "\t\r\n", None])
def test_a_blank_link_is_no_link(link: str | None) -> None:
    asked = {EvidenceKind.USER: EvidenceSetting(enabled=True, static_name="Profile")}

    resolved = resolve_evidence(asked, {EvidenceKind.USER: EvidenceSource(name="Ada", link=link)})

    assert resolved.left_out == ((EvidenceKind.USER, LeftOut.NO_LINK),)


@pytest.mark.parametrize("found_name", ["", BLANK, None])
@pytest.mark.parametrize(
    ("static_name", "outcome"), [("", LeftOut.NO_NAME), (BLANK, LeftOut.NO_NAME), (" Our  site ", "Our site")]
)
def test_without_a_name_on_the_platform_only_a_static_name_helps(
    found_name: str | None, static_name: str, outcome: str
) -> None:
    asked = {EvidenceKind.COMPANY: EvidenceSetting(enabled=True, static_name=static_name)}

    resolved = resolve_evidence(asked, {EvidenceKind.COMPANY: EvidenceSource(name=found_name, link=LINK)})

    names = [item.name for item in resolved.items]
    reasons = [why for _, why in resolved.left_out]
    assert names + reasons == [outcome]


def test_a_badge_is_not_held_up_by_evidence_that_does_not_apply() -> None:
    asked = {kind: EvidenceSetting(enabled=True) for kind in EvidenceKind}

    resolved = resolve_evidence(asked, {EvidenceKind.PORTAL: PRESENT})

    assert resolved.kinds == (EvidenceKind.PORTAL,)
    assert [kind for kind, _ in resolved.left_out] == [EvidenceKind.USER, EvidenceKind.COMPANY, EvidenceKind.PROJECT]


def test_every_reason_to_leave_out_has_a_sentence_of_its_own() -> None:
    sentences = [why.sentence for why in LeftOut]

    assert all(sentence.strip().endswith(".") for sentence in sentences)
    assert len(set(sentences)) == len(sentences)


ODD = "aZ09 -._~:/?#[]@!$&'()*+,;=%<>|\\^`{}\"\t\n\x00\x7f\xa0\u200b\u202eé漢😀"
TEXT = st.text(ODD, max_size=12) | st.sampled_from(["", BLANK, "Acme"])
LINKS = st.none() | st.text(ODD, max_size=30) | st.sampled_from([*BAD_LINKS, *GOOD_LINKS, ""])
SETTINGS = st.builds(EvidenceSetting, enabled=st.booleans(), static_name=TEXT, static_description=TEXT)
SOURCES = st.none() | st.builds(EvidenceSource, name=st.none() | TEXT, link=LINKS)
ASKED = st.dictionaries(st.sampled_from(EvidenceKind), SETTINGS)
FOUND = st.dictionaries(st.sampled_from(EvidenceKind), SOURCES)


@given(ASKED, FOUND)
def test_each_kind_that_is_on_is_either_sent_or_left_out_and_no_other(
    asked: dict[EvidenceKind, EvidenceSetting], found: dict[EvidenceKind, EvidenceSource | None]
) -> None:
    resolved = resolve_evidence(asked, found)

    left_out = [kind for kind, _ in resolved.left_out]
    on = [kind for kind in EvidenceKind if kind in asked and asked[kind].enabled]
    assert sorted([*resolved.kinds, *left_out]) == sorted(on)
    assert len(resolved.items) == len(resolved.kinds)
    assert list(resolved.kinds) == [kind for kind in EvidenceKind if kind in resolved.kinds]
    assert left_out == [kind for kind in EvidenceKind if kind in left_out]


@given(ASKED, FOUND)
def test_whatever_is_sent_has_a_visible_name_and_a_web_address(
    asked: dict[EvidenceKind, EvidenceSetting], found: dict[EvidenceKind, EvidenceSource | None]
) -> None:
    for item in resolve_evidence(asked, found).items:
        assert item.name.strip()
        assert item.value.lower().startswith(("http://", "https://"))
        assert item.value.isprintable()


def test_each_kind_takes_its_own_setting_and_its_own_source() -> None:
    """Every pair of different sets, so that a mixed-up kind is noticed."""
    subsets = list(chain.from_iterable(combinations(EvidenceKind, size) for size in range(5)))
    for on, there in product(subsets, subsets):
        asked = {kind: EvidenceSetting(enabled=kind in on, static_description=f"about {kind}") for kind in EvidenceKind}
        found = {kind: EvidenceSource(name=f"the {kind}", link=f"https://example.org/{kind}") for kind in there}

        resolved = resolve_evidence(asked, found)

        assert [(item.name, item.value, item.description) for item in resolved.items] == [
            (f"the {kind}", f"https://example.org/{kind}", f"about {kind}")
            for kind in EvidenceKind
            if kind in on and kind in there
        ]
