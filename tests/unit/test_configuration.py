"""Settings as a file: what can be read, what differs from what is stored, and what is written."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.setup.tables import CredlyIntegration
from rules.badge.evidence import EvidenceKind
from rules.badge.issuance_data import LONGEST_EXPIRY, Expiry
from rules.forms.configuration import (
    CONNECTION_COLUMNS,
    InvalidConfiguration,
    as_toml,
    place_of,
    read_configuration,
)
from rules.forms.inputs import BASE_URLS, Environment, Locale
from rules.forms.settings import IntegrationForm
from rules.forms.settings_plan import Change, differences, key_of, plan_lines
from rules.ledger.settings_changes import SettingsOf

CONNECTION, INTEGRATION = SettingsOf.CONNECTION, SettingsOf.INTEGRATION


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidConfiguration) as refused:
        read_configuration(text.encode())
    return str(refused.value).splitlines()


def test_a_file_has_the_fields_of_the_forms_and_their_defaults() -> None:
    found = read_configuration(
        b'\xef\xbb\xbf[connections.lumen]\norganization_id = "o"\ntoken_block = "b"\nenvironment = "sandbox"\n'
        b'[integrations."safety.first"]\nbadge_template_id = "t"\nsuppress_credly_email = true\n'
        b"issue_since = 2026-09-01T02:00:00+02:00\nevidence.user.on = true\n"
    )

    connection, integration = found.connections["lumen"], found.integrations["safety.first"]
    assert (connection.environment, connection.calls_per_second) == (Environment.SANDBOX, 3.0)
    assert (integration.suppress_notification, integration.hold_above) == (True, 100)
    assert integration.issue_since == datetime(2026, 9, 1, tzinfo=UTC)
    assert [kind for kind in EvidenceKind if getattr(integration.evidence, kind).on] == [EvidenceKind.USER]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[portals.x]", "[portals]: there is no such table; a file has connections and integrations."),
        ("integrations = 3", "[integrations]: it must be a table with a table for each id."),
        ('integrations."a b" = 3', '[integrations."a b"]: it must be a table of settings.'),
        ("[integrations.x]", "[integrations.x] badge_template_id: it is missing; give it."),
        ("[connections.x]\ntoken_block = 'b'", "[connections.x] organization_id: it is missing; give it."),
        (
            "[connections.x]\norganization_id = 'o'\ntoken_block = 'b'\ncalls_per_second = 0.05",
            "[connections.x] calls_per_second: it must be greater than or equal to 0.1.",
        ),
    ],
)
def test_what_is_no_file_of_settings_is_one_sentence(text: str, said: str) -> None:
    assert faults(text) == [said]


FREE_TEXT = "it must be text of at most 255 characters, without an e-mail address."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("badge_template = 'u'", "badge_template: there is no such key. Did you mean badge_template_id?"),
        ("suppress_notification = true", "suppress_notification: there is no such key."),
        ("evidence.usr.on = true", "evidence.usr: there is no such key. Did you mean user?"),
        ("evidence.user.nam = 'x'", "evidence.user.nam: there is no such key."),
        ("evidence.user = true", "evidence.user: it must be a table of settings."),
        ("evidence.user.on = 'perhaps'", "evidence.user.on: it must be a valid boolean"),
        ("expiry = 'nver'", "expiry: it must be 'template_default', 'never' or 'after_days'."),
        ("hold_above = -1", "hold_above: it must be greater than or equal to 0."),
        ("locale = 'xx'", "locale: it must be '', 'en', "),
        ("revoke_reason = 'ask ada@example.org'", f"revoke_reason: {FREE_TEXT}"),
        (f"revoke_reason = '{'x' * 256}'", f"revoke_reason: {FREE_TEXT}"),
        ("issue_since = 'soon'", "issue_since: it must be a moment such as 2026-11-02T09:00:00Z."),
        ("issue_since = '20260901'", "issue_since: it must be a moment such as 2026-11-02T09:00:00Z."),
        ("issue_since = 2026", "issue_since: it must be a moment such as 2026-11-02T09:00:00Z."),
    ],
)
def test_a_key_or_value_that_no_form_has_is_named_with_its_table(line: str, said: str) -> None:
    (fault,) = faults(f"[integrations.forklift]\nbadge_template_id = 't'\n{line}")

    assert fault.startswith(f"[integrations.forklift] {said}")
    assert "ada@example.org" not in fault


@pytest.mark.parametrize("text", ["[integrations", "a = 1\na = 2", "integrations", '[integrations.x]\na = "\n"'])
def test_what_is_no_toml_is_refused_with_the_place(text: str) -> None:
    (fault,) = faults(text)

    assert fault.startswith("The file is not TOML: ")
    assert "(at " in fault


def test_the_first_faults_of_many_are_shown_and_the_rest_counted() -> None:
    seen = faults("\n".join(f"[integrations.x{number}]" for number in range(50)))

    assert (len(seen), seen[-1]) == (21, "… and 30 more.")


def test_a_file_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="not UTF-8"):
        read_configuration("[connections.ä]".encode("latin-1"))


ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="@＠﹫%"), max_size=40)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    return texts if annotation is str else st.from_type(annotation)


connections = st.fixed_dictionaries(
    {
        "organization_id": texts,
        "token_block": st.from_regex("[a-z0-9-]{1,20}", fullmatch=True),
        "base_url": st.sampled_from([*BASE_URLS.values(), "http://127.0.0.1:8090/v1"]),
        "calls_per_second": st.floats(0.1, 1000),
        "missing_name": texts,
        "deletion_withdraws": st.booleans(),
        "renew_token": st.booleans(),
    }
)
INTEGRATION_FIELDS = {
    name: field for name, field in IntegrationForm.model_fields.items() if name in CredlyIntegration.model_fields
}
integrations = st.fixed_dictionaries(
    {name: values_of(field.annotation) for name, field in INTEGRATION_FIELDS.items()}
    | {
        "issue_since": st.none() | st.datetimes(timezones=st.just(UTC)),
        "expires_after_days": st.none() | st.integers(1, LONGEST_EXPIRY),
        "locale": st.sampled_from([each.value for each in Locale]),
    }
    | {f"{kind}_evidence": st.booleans() for kind in EvidenceKind}
    | {f"{kind}_evidence_{part}": texts for kind in EvidenceKind for part in ("name", "description")}
)


@settings(max_examples=50)
@given(st.dictionaries(ids, connections, max_size=2), st.dictionaries(ids, integrations, max_size=2))
def test_what_is_written_is_read_as_it_was(of_portals: dict[str, Any], of_achievements: dict[str, Any]) -> None:
    read = read_configuration(as_toml(of_portals, of_achievements).encode())

    assert (set(read.connections), set(read.integrations)) == (set(of_portals), set(of_achievements))
    for key, columns in of_portals.items():
        connection = read.connections[key]
        assert BASE_URLS.get(connection.environment, connection.base_url) == columns["base_url"]
        for name in set(CONNECTION_COLUMNS) - {"base_url"}:
            assert getattr(connection, name) == columns[name]
    for key, columns in of_achievements.items():
        integration = read.integrations[key]
        assert (integration.expires_after_days or None) == columns["expires_after_days"]
        for name in INTEGRATION_FIELDS.keys() - {"expires_after_days"}:
            assert getattr(integration, name) == columns[name]
        for kind in EvidenceKind:
            choice = getattr(integration.evidence, kind)
            written = (choice.on, choice.static_name, choice.static_description)
            assert written == tuple(columns[f"{kind}_evidence{part}"] for part in ("", "_name", "_description"))


def test_what_has_its_default_is_not_written() -> None:
    moment = datetime(2026, 11, 2, 9, tzinfo=UTC)
    stored = CredlyIntegration(achievement_id="forklift", badge_template_id="t", enabled_at=moment, user_evidence=True)

    written = as_toml({}, {"forklift": stored.model_dump()})

    assert written == '[integrations.forklift]\nbadge_template_id = "t"\nevidence.user = { on = true }\n'


OLD: dict[str, Any] = {"badge_template_id": "t", "locale": "", "user_evidence": False, "user_evidence_name": ""}


@pytest.mark.parametrize("prune", [False, True])
def test_only_what_differs_is_a_change_and_what_is_omitted_stays_unless_pruned(prune: bool) -> None:
    stored = {"same": OLD | {"paused_at": 1}, "other": OLD, "gone": OLD}
    wanted = {"same": OLD, "other": OLD | {"locale": "de"}, "new": OLD}

    found = differences(INTEGRATION, wanted, stored, prune=prune)

    changed = Change(settings_of=INTEGRATION, key="other", before=OLD, after=OLD | {"locale": "de"})
    created = Change(settings_of=INTEGRATION, key="new", before=None, after=OLD)
    removed = Change(settings_of=INTEGRATION, key="gone", before=OLD, after=None)
    assert found == [changed, created, *([removed] if prune else [])]
    assert differences(INTEGRATION, wanted, wanted, prune=True) == []


def test_a_plan_shows_each_change_by_the_keys_of_the_file() -> None:
    new = OLD | {"locale": "de", "user_evidence": True, "user_evidence_name": "A “name”"}
    organization = {"organization_id": "o", "base_url": "https://x", "calls_per_second": 3.0}
    changes = [
        Change(settings_of=CONNECTION, key="lumen", before=None, after=organization),
        Change(settings_of=INTEGRATION, key="forklift", before=OLD, after=new),
        Change(settings_of=INTEGRATION, key="crane", before=None, after=OLD | {"expiry": Expiry.TEMPLATE_DEFAULT}),
        Change(settings_of=INTEGRATION, key="old", before=OLD, after=None),
        Change(settings_of=INTEGRATION, key="older", before=OLD, after=None),
        Change(settings_of=CONNECTION, key="old", before=organization, after=None),
    ]

    assert list(plan_lines(changes, waiting={"old": 3})) == [
        "+ connection lumen",
        '    organization_id: "o"',
        '    base_url: "https://x"',
        "~ integration forklift",
        '    locale: "" → "de"',
        "    evidence.user.on: false → true",
        '    evidence.user.static_name: "" → "A “name”"',
        "+ integration crane",
        '    badge_template_id: "t"',
        "- integration old: cancels 3 waiting",
        "- integration older",
        "- connection old",
    ]


def test_keys_and_places_are_those_of_the_file() -> None:
    assert key_of("suppress_notification") == "suppress_credly_email"
    assert key_of("portal_evidence_description") == "evidence.portal.static_description"
    assert place_of(INTEGRATION, 'a."b"') == '[integrations."a.\\"b\\""]'
