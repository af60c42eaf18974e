"""What is read of an issuance just before it is sent, and for previews; each on SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Engine, event, text

from models.database import Database
from models.ledger.issuance_data import (
    Subject,
    facts_of,
    facts_of_latest_award,
    facts_of_subjects,
    of_issuances,
)
from models.ledger.manual import ManualIssue, facts_of_request
from models.operations.erasure import erase, of_user
from models.platform.badge_data import complete
from models.platform.people import near_user_ids, persons
from models.platform.tables import AchievementAward, Company, User
from models.setup.tables import CredlyConnection, CredlyIntegration
from rules.badge.evidence import EvidenceKind, EvidenceSetting, EvidenceSource
from rules.badge.issuance_data import BadgeOptions, Expiry, IssuanceFacts
from rules.ledger.states import NO_MOMENT
from tests.support.factories import (
    ACHIEVEMENT,
    AWARDED,
    NOW,
    PORTAL,
    TEMPLATE,
    USER,
    a_company,
    a_connection,
    a_portal,
    a_project,
    a_user,
    an_achievement,
    an_award,
    an_email,
    an_integration,
    an_issuance,
    change,
    do,
    remove,
    together,
)
from tests.support.plans import DAY, HOUR

NO_EVIDENCE = {kind: EvidenceSetting() for kind in EvidenceKind}
WISH = ManualIssue(achievement_id=ACHIEVEMENT, user_id=USER, portal_id=PORTAL, badge_template_id=TEMPLATE)


async def found(database: Database, *ids: int) -> list[IssuanceFacts]:
    return await facts_of(database, ids, now=NOW)


async def the_facts(database: Database, issuance: int) -> IssuanceFacts:
    (facts,) = await found(database, issuance)
    return facts


async def wished(database: Database, wish: ManualIssue = WISH) -> IssuanceFacts:
    return await facts_of_request(database, wish, now=NOW)


async def latest(database: Database, achievement: str = ACHIEVEMENT) -> IssuanceFacts | None:
    return await facts_of_latest_award(database, achievement, now=NOW)


def a_subject(**changes: Any) -> Subject:
    """A badge of an award that is not in the ledger."""
    plain = {"achievement_id": ACHIEVEMENT, "user_id": USER, "portal_id": PORTAL, "badge_template_id": TEMPLATE}
    return Subject(**plain | changes)


T = TypeVar("T")


async def found_after(database: Database, statements: Sequence[str], *ids: int) -> list[IssuanceFacts]:
    """What is known once the platform's tables were changed so; the change itself is taken back."""

    return await database.write(_changed, statements, lambda each: complete(each, of_issuances(each, ids), now=NOW))


def _changed(connection: Connection, statements: Sequence[str], read: Callable[[Connection], T]) -> T:
    for statement in statements:
        connection.execute(text(statement))
    found = read(connection)
    connection.rollback()
    return found


@contextmanager
def statements_seen() -> Iterator[list[str]]:
    """The statements that are sent meanwhile, by whichever connection."""
    seen: list[str] = []

    def note(*given: Any) -> None:
        seen.append(given[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def planned(database: Database, award: str | None = "award-1", **changes: Any) -> int:
    """An issuance as planning enters it for an award."""
    return await an_issuance(database, award_id=award, awarded_at=AWARDED, **changes)


async def test_everything_that_is_known_of_an_award_comes_with_its_issuance(ready: Database) -> None:
    await a_company(ready)
    await a_project(ready)
    await an_award(ready, "award-1", company_id="acme", project_id="bridge")
    ledger: dict[str, Any] = {
        "attempts": 2,
        "request_fingerprint": "f" * 64,
        "replaces_badge_id": "badge-0",
        "unclear_at": NOW - HOUR,
    }
    issuance = await planned(ready, **ledger)

    assert await the_facts(ready, issuance) == IssuanceFacts(
        issuance_id=issuance,
        achievement_id=ACHIEVEMENT,
        user_id=USER,
        portal_id=PORTAL,
        badge_template_id=TEMPLATE,
        award_id="award-1",
        awarded_at=AWARDED,
        company_id="acme",
        project_id="bridge",
        first_name="Ada",
        last_name="Muster",
        email="ada@example.org",
        connected_to=("https://credly.example.org/v1", "organization-1"),
        present_template_id=TEMPLATE,
        sources={
            EvidenceKind.USER: EvidenceSource(name="Ada Muster", link="https://example.org/people/ada"),
            EvidenceKind.COMPANY: EvidenceSource(name="Acme", link="https://acme.example.org"),
            EvidenceKind.PROJECT: EvidenceSource(name="Bridge", link="https://bridge.example.org"),
            EvidenceKind.PORTAL: EvidenceSource(name="Northwind", link="https://northwind.example.org"),
        },
        options=BadgeOptions(evidence=NO_EVIDENCE),
        **ledger,
    )


async def test_an_integration_s_settings_come_with_each_of_its_badges(database: Database) -> None:
    await an_integration(
        database,
        suppress_notification=True,
        locale="de",
        expiry=Expiry.AFTER_DAYS,
        expires_after_days=30,
        company_evidence=True,
        company_evidence_name="Employer",
        company_evidence_description="Where it was earned",
        portal_evidence=True,
    )
    await a_connection(database, missing_name="–")
    await an_award(database, "award-1")

    options = (await the_facts(database, await planned(database))).options

    company = EvidenceSetting(enabled=True, static_name="Employer", static_description="Where it was earned")
    portal = EvidenceSetting(enabled=True)
    assert options == BadgeOptions(
        evidence=NO_EVIDENCE | {EvidenceKind.COMPANY: company, EvidenceKind.PORTAL: portal},
        suppress_notification=True,
        locale="de",
        expiry=Expiry.AFTER_DAYS,
        expires_after_days=30,
        missing_name="–",
    )


# What is missing


async def test_an_award_without_company_and_project_has_no_such_evidence(ready: Database) -> None:
    await an_award(ready, "award-1")

    sources = (await the_facts(ready, await planned(ready))).sources

    assert (sources[EvidenceKind.COMPANY], sources[EvidenceKind.PROJECT]) == (None, None)


async def test_what_has_no_link_or_no_name_is_still_on_the_award(ready: Database) -> None:
    await a_user(ready, first_name=None, last_name=" ", profile_url=None)
    await a_company(ready, url=None, name="")
    await an_award(ready, "award-1", company_id="acme")

    sources = (await the_facts(ready, await planned(ready))).sources

    assert sources[EvidenceKind.USER] == EvidenceSource(name="", link=None)
    assert sources[EvidenceKind.COMPANY] == EvidenceSource(name="", link=None)


@pytest.mark.parametrize(
    ("first", "last", "full"),
    [("Ada", None, "Ada"), (None, "Muster", "Muster"), (" Ada ", "\tMuster\u200b", "Ada Muster")],
)
async def test_a_full_name_has_no_blanks_for_what_is_missing(
    ready: Database, first: str | None, last: str | None, full: str
) -> None:
    await a_user(ready, first_name=first, last_name=last)
    await an_award(ready, "award-1")

    user = (await the_facts(ready, await planned(ready))).sources[EvidenceKind.USER]

    assert user is not None
    assert user.name == full


async def test_only_the_primary_address_counts(ready: Database) -> None:
    await a_user(ready, email=None)
    await an_email(ready, address="second@example.org", is_primary=False)
    issuance = await planned(ready)
    assert (await the_facts(ready, issuance)).email is None

    await an_email(ready, address="first@example.org")
    assert (await the_facts(ready, issuance)).email == "first@example.org"


async def test_a_badge_goes_out_once_even_if_the_platform_shows_two_primary_addresses(ready: Database) -> None:
    """As a view of the platform can: no unique index holds there."""
    await an_award(ready, "award-1")
    issuance = await planned(ready)
    another = "INSERT INTO user_emails (id, user_id, address, is_primary) VALUES ('a', 'ada', 'z@example.org', true)"
    changes = ["DROP INDEX uq_user_emails_primary", another]

    facts = await found_after(ready, changes, issuance)

    assert [(each.issuance_id, each.email) for each in facts] == [(issuance, "z@example.org")]
    shown = await ready.write(_changed, changes, lambda connection: persons(connection, ["ada"]))
    assert shown["ada"].email == "z@example.org"


@pytest.mark.parametrize("_migrated", ["sqlite"], indirect=True)  # PostgreSQL is built without ICU here
async def test_users_whose_ids_differ_in_case_stay_apart_where_the_database_finds_them_equal(ready: Database) -> None:
    await a_user(ready, "ada")
    await a_user(ready, "ADA")
    ids = [await an_issuance(ready, user=user) for user in ("ada", "ADA", "Ada")]
    views = [
        f"CREATE VIEW {name} AS SELECT {key} COLLATE NOCASE AS {key}, {others} FROM original_{name}"
        for name, key, others in (
            ("users", "id", "first_name, last_name, profile_url"),
            ("user_emails", "user_id", "id, address, is_primary"),
        )
    ]
    renamed = [f"ALTER TABLE {name} RENAME TO original_{name}" for name in ("users", "user_emails")]

    facts = await found_after(ready, [*renamed, *views], *ids)

    assert [(each.user_exists, each.first_name, each.email) for each in facts] == [
        (True, "Ada", "ada@example.org"),
        (True, "Ada", "ADA@example.org"),
        (False, None, None),
    ]


@pytest.mark.parametrize(
    ("moment", "withdrawn"),
    [("infinity", False), ("20000-01-01 00:00:00+00", False), ("-infinity", True), ("4000-01-01 00:00:00+00 BC", True)],
)
@pytest.mark.parametrize("_migrated", ["postgresql"], indirect=True)
async def test_moments_that_python_has_not_spoil_no_badge(ready: Database, moment: str, withdrawn: bool) -> None:
    await an_award(ready, "award-1")
    issuance = await planned(ready)
    changes = [
        f"UPDATE achievement_awards SET awarded_at = '{moment}', withdrawn_at = '{moment}'",
        f"UPDATE badge_issuances SET awarded_at = '{moment}'",
    ]

    (facts,) = await found_after(ready, changes, issuance)

    assert facts.award_withdrawn is withdrawn
    assert facts.awarded_at == NO_MOMENT


async def test_ids_near_a_long_one_are_found_with_few_statements(ready: Database) -> None:
    long = "0c8206bf-2d25-463b-ac10-ac4b0d7cd4e1"
    for key in (f"{long[:-1]}9", f"{long[:-1]}8", long[:10], "another"):
        await a_user(ready, key)

    for typed, near in (
        (long, [f"{long[:-1]}8", f"{long[:-1]}9"]),
        (f"{long[:20]}x{long[21:]}", [f"{long[:-1]}8", f"{long[:-1]}9"]),
        (f"{long[:5]}x", [long[:10], f"{long[:-1]}8", f"{long[:-1]}9"]),
        ("x" * 36, []),
        ("", []),
    ):
        with statements_seen() as seen:
            assert await ready.platform.read(near_user_ids, typed) == near
        assert len([each for each in seen if "LIKE" in each]) <= 6


async def test_a_user_who_is_gone_is_known_to_be_gone(ready: Database) -> None:
    facts = await the_facts(ready, await planned(ready, award=None))

    assert (facts.user_exists, facts.email, facts.first_name, facts.last_name) == (False, None, None, None)
    assert facts.sources[EvidenceKind.USER] == EvidenceSource(name="", link=None)


async def test_a_withdrawn_award_is_known_to_be_withdrawn(ready: Database) -> None:
    await an_award(ready, "award-1", withdrawn_at=NOW)

    assert (await the_facts(ready, await planned(ready))).award_withdrawn is True


async def test_an_integration_that_has_another_template_by_now_is_known_to(ready: Database) -> None:
    await an_award(ready, "award-1")
    await change(ready, CredlyIntegration, 1, badge_template_id="another-template")

    facts = await the_facts(ready, await planned(ready))

    assert (facts.badge_template_id, facts.present_template_id) == (TEMPLATE, "another-template")


@pytest.mark.parametrize("former", [True, False])
async def test_an_integration_that_is_gone_is_not_there_nor_any_for_a_former_row(ready: Database, former: bool) -> None:
    await an_award(ready, "award-1")
    if not former:
        await remove(ready, CredlyIntegration)

    facts = await the_facts(ready, await planned(ready, former=former))

    assert (facts.integration_exists, facts.options) == (False, BadgeOptions())


async def test_a_portal_without_connection_is_not_connected(ready: Database) -> None:
    await remove(ready, CredlyConnection)
    await a_portal(ready, "another")
    await a_connection(ready, portal="another", missing_name="–")

    facts = await the_facts(ready, await planned(ready))

    assert (facts.connected, facts.options.missing_name) == (False, "")


async def test_the_moment_is_the_award_s_own_even_after_it_was_corrected(ready: Database) -> None:
    await an_award(ready, "award-1")
    issuance = await planned(ready)
    await change(ready, AchievementAward, "award-1", awarded_at=AWARDED - DAY)

    assert (await the_facts(ready, issuance)).awarded_at == AWARDED - DAY


async def test_without_an_award_the_moment_company_and_project_are_those_of_the_request(ready: Database) -> None:
    await a_user(ready)
    await a_company(ready)
    await a_project(ready)
    issuance = await an_issuance(ready, awarded_at=NOW, company_id="acme", project_id="bridge")

    facts = await the_facts(ready, issuance)

    assert (facts.award_id, facts.awarded_at) == (None, NOW)
    assert facts.sources[EvidenceKind.COMPANY] == EvidenceSource(name="Acme", link="https://acme.example.org")
    assert facts.sources[EvidenceKind.PROJECT] == EvidenceSource(name="Bridge", link="https://bridge.example.org")


async def test_an_award_s_company_goes_before_the_one_that_was_asked_for(ready: Database) -> None:
    await a_company(ready, "acme")
    await a_company(ready, "globex")
    await an_award(ready, "award-1", company_id="acme")

    company = (await the_facts(ready, await planned(ready, company_id="globex"))).sources[EvidenceKind.COMPANY]

    assert company == EvidenceSource(name="Acme", link="https://acme.example.org")


async def test_a_correction_made_before_sending_reaches_the_badge(ready: Database) -> None:
    await a_company(ready)
    await an_award(ready, "award-1", company_id="acme")
    issuance = await planned(ready)
    await change(ready, User, USER, first_name="Adelheid")
    await change(ready, Company, "acme", url="https://acme.example.com")

    facts = await the_facts(ready, issuance)

    assert facts.first_name == "Adelheid"
    assert facts.sources[EvidenceKind.COMPANY] == EvidenceSource(name="Acme", link="https://acme.example.com")


async def test_many_issuances_are_read_in_few_statements_each_with_its_own_person_in_order(ready: Database) -> None:
    ids = []
    for number in range(40):
        award = await an_award(ready, user=f"user-{number}")
        ids.append(await an_issuance(ready, user=f"user-{number}", award_id=award))

    with statements_seen() as statements:
        facts = await found(ready, *reversed(ids))

    read = [statement.partition("FROM ")[2].split()[0] for statement in statements if "FROM" in statement]
    assert read == ["badge_issuances", "achievement_awards", "users", "user_emails", "portals"]
    assert [each.issuance_id for each in facts] == ids
    assert [each.email for each in facts] == [f"user-{number}@example.org" for number in range(40)]
    assert await found(ready) == []


async def test_more_issuances_than_a_statement_takes_are_all_read(ready: Database) -> None:
    async def many(connection: Connection) -> list[int]:
        return [await an_issuance(connection, user=f"user-{number}") for number in range(1001)]

    ids = await together(ready, many)

    assert [each.issuance_id for each in await found(ready, *ids)] == ids


# Previews


async def test_a_badge_that_is_not_in_the_ledger_is_shown_with_what_is_known_of_it(ready: Database) -> None:
    await a_company(ready)
    await an_award(ready, "award-1", user="ada", company_id="acme")
    await a_user(ready, "bob")
    of_award = a_subject(award_id="award-1", company_id="globex")
    by_hand = a_subject(user_id="bob", awarded_at=NOW, company_id="acme", badge_template_id="another-template")

    bob, ada = await facts_of_subjects(ready, [by_hand, of_award], now=NOW)

    acme = EvidenceSource(name="Acme", link="https://acme.example.org")
    assert (ada.issuance_id, ada.award_id, ada.awarded_at, ada.email) == (0, "award-1", AWARDED, "ada@example.org")
    assert ada.sources[EvidenceKind.COMPANY] == bob.sources[EvidenceKind.COMPANY] == acme
    assert (ada.connected, ada.integration_exists, ada.options) == (True, True, BadgeOptions(evidence=NO_EVIDENCE))
    assert (bob.awarded_at, bob.email, bob.integration_exists) == (NOW, "bob@example.org", False)
    (elsewhere,) = await facts_of_subjects(ready, [a_subject(portal_id="another")], now=NOW)
    assert (elsewhere.connected, elsewhere.sources[EvidenceKind.PORTAL]) == (False, EvidenceSource())
    assert await facts_of_subjects(ready, [], now=NOW) == []


async def test_an_example_is_the_latest_award_whether_or_not_it_has_its_badge(ready: Database) -> None:
    assert await latest(ready) is None
    await an_award(ready, "award-1", user="ada", awarded_at=AWARDED)
    await an_award(ready, "award-2", user="bob", awarded_at=AWARDED + HOUR)
    await an_award(ready, "award-3", user="eve", awarded_at=NOW, withdrawn_at=NOW)
    await planned(ready, "award-2", user="bob")

    example = await latest(ready)

    assert example is not None
    assert (example.issuance_id, example.award_id, example.email) == (0, "award-2", "bob@example.org")
    await an_achievement(ready, "crane")
    assert await latest(ready, "crane") is None


@pytest.mark.parametrize("moment", [NOW + DAY, NO_MOMENT, "infinity", "-infinity", None])
async def test_no_example_has_a_moment_that_is_unusable_or_to_come(
    ready: Database, moment: datetime | str | None
) -> None:
    await an_award(ready, "award-1", user="ada")
    await an_award(ready, "award-2", user="bob", awarded_at=moment if isinstance(moment, datetime) else AWARDED)
    if isinstance(moment, str):
        await do(ready, text(f"UPDATE achievement_awards SET awarded_at = '{moment}' WHERE id = 'award-2'"))
    elif moment is None:
        without = ["UPDATE achievement_awards SET awarded_at = NULL WHERE id = 'award-2'"]
        if ready.engine.dialect.name == "postgresql":
            without.insert(0, "ALTER TABLE achievement_awards ALTER awarded_at DROP NOT NULL")
        else:
            columns = "id, achievement_id, user_id, nullif(awarded_at, 0) AS awarded_at, company_id, project_id"
            without = [
                "ALTER TABLE achievement_awards RENAME TO awards",
                "UPDATE awards SET awarded_at = 0 WHERE id = 'award-2'",
                f"CREATE VIEW achievement_awards AS SELECT {columns}, withdrawn_at FROM awards",
            ]
        for statement in without:
            await do(ready, text(statement))

    example = await latest(ready)

    assert example is not None
    assert (example.award_id, example.awarded_at) == ("award-1", AWARDED)


async def test_no_example_is_an_erased_user(ready: Database) -> None:
    await an_award(ready, "award-1", user="ada")
    await an_award(ready, "award-2", user="bob", awarded_at=AWARDED + HOUR)
    nothing = await ready.read(of_user, "bob")
    await ready.write(erase, "bob", found=nothing, at_credly={}, reason="A letter", requested_by="", now=NOW)

    example = await latest(ready)

    assert example is not None
    assert example.user_id == "ada"


async def test_a_wish_before_the_award_has_no_moment_yet(ready: Database) -> None:
    await a_user(ready)
    await a_company(ready)
    wish = ManualIssue(**vars(WISH) | {"company_id": "acme"})

    facts = await wished(ready, wish)

    assert (facts.issuance_id, facts.award_id, facts.awarded_at, facts.email) == (0, None, None, "ada@example.org")
    assert facts.sources[EvidenceKind.COMPANY] == EvidenceSource(name="Acme", link="https://acme.example.org")
    assert facts.sources[EvidenceKind.PROJECT] is None
    assert facts.integration_exists


async def test_a_wish_for_an_awarded_user_has_the_first_award_that_stands(ready: Database) -> None:
    await an_award(ready, "withdrawn", awarded_at=AWARDED - DAY, withdrawn_at=NOW)
    await an_award(ready, "first", awarded_at=AWARDED)
    await an_award(ready, "second", awarded_at=AWARDED + HOUR)

    facts = await wished(ready)

    assert (facts.award_id, facts.awarded_at, facts.award_withdrawn) == ("first", AWARDED, False)


async def test_a_wish_is_shown_as_the_ledger_s_row_would_be_sent(ready: Database) -> None:
    """The row has a later award, because that one replaces the badge; and a company that was asked for before."""
    await a_company(ready)
    await an_award(ready, "first", awarded_at=AWARDED)
    await an_award(ready, "second", awarded_at=AWARDED + HOUR)
    await planned(ready, "second", company_id="acme")

    facts = await wished(ready)

    assert (facts.award_id, facts.awarded_at) == ("second", AWARDED + HOUR)
    assert facts.sources[EvidenceKind.COMPANY] == EvidenceSource(name="Acme", link="https://acme.example.org")
