"""What the tables refuse, whoever writes: on both databases, on the tables as the migrations make them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import Enum, text
from sqlalchemy.exc import IntegrityError, StatementError

from models.database import Database
from models.ledger.tables import UNIQUE_ISSUANCE, BadgeIssuance, IssuanceAttempt
from models.platform.tables import Portal, User, UserEmail
from models.setup.tables import CredlyConnection, CredlyIntegration
from models.tables import table
from rules.badge.issuance_data import Expiry
from rules.forms.inputs import EarnedAgain
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from tests.support.factories import (
    NOW,
    TEMPLATE,
    a_connection,
    a_user,
    an_achievement,
    an_attempt,
    an_award,
    an_email,
    an_integration,
    an_issuance,
    change,
    rows_of,
    the_row_of,
)

LEASED: dict[str, Any] = {"claim": "run-1", "lease_until": NOW}
HAS_BADGE: dict[str, Any] = {"credly_badge_id": "badge-1", "recorded_at": NOW}
CHOICES: list[tuple[str, str, Any]] = [
    (column.table.name, column.name, column.type.enum_class)
    for model in (BadgeIssuance, IssuanceAttempt, CredlyIntegration)
    for column in table(model).c
    if isinstance(column.type, Enum)
]
WITH_REASON = (IssuanceState.BLOCKED, IssuanceState.FAILED, IssuanceState.CANCELLED)


def refused_by(constraint: str) -> Any:
    """PostgreSQL names the constraint, SQLite names a CHECK's or the columns of a UNIQUE."""
    return pytest.raises(IntegrityError, match=constraint)


async def sql(database: Database, statement: str, **values: Any) -> None:
    await database.write(lambda connection: connection.execute(text(statement), values))


async def test_a_user_has_one_primary_address_at_most(database: Database) -> None:
    await a_user(database, "ada")
    await an_email(database, user="ada", address="second@example.org", is_primary=False)
    await an_email(database, user="ada", address="third@example.org", is_primary=False)

    with refused_by("uq_user_emails_primary|user_emails.user_id"):
        await an_email(database, user="ada", address="fourth@example.org", is_primary=True)


async def test_an_achievement_has_one_integration_at_most(database: Database) -> None:
    await an_integration(database)

    with refused_by("uq_credly_integrations_achievement_id|credly_integrations.achievement_id"):
        await an_integration(database, badge_template_id="another-template")


async def test_a_portal_has_one_connection_at_most(database: Database) -> None:
    await a_connection(database)

    with refused_by("uq_credly_connections_portal_id|credly_connections.portal_id"):
        await a_connection(database, organization_id="another-organization")


async def test_a_user_has_one_row_for_an_achievement_beside_those_of_earlier_templates(database: Database) -> None:
    await an_issuance(database, user="ada")
    await an_issuance(database, user="bob")
    await an_issuance(database, user="ada", achievement="another")
    await an_issuance(database, user="ada", badge_template_id="earlier", former=True)

    with refused_by("ix_badge_issuances_pair|badge_issuances.achievement_id, badge_issuances.user_id"):
        await an_issuance(database, user="ada", badge_template_id="another", state=IssuanceState.CANCELLED)
    with refused_by(f"{UNIQUE_ISSUANCE}|badge_issuances.achievement_id, badge_issuances.user_id"):
        await an_issuance(database, user="ada", badge_template_id="earlier", former=True)


async def test_a_credly_badge_stands_in_the_ledger_once(database: Database) -> None:
    await an_issuance(database, user="ada", state=IssuanceState.ISSUED, credly_badge_id="badge-1")

    with refused_by("uq_badge_issuances_credly_badge_id|badge_issuances.credly_badge_id"):
        await an_issuance(database, user="bob", state=IssuanceState.ISSUED, credly_badge_id="badge-1")


@pytest.mark.parametrize("missing", HAS_BADGE)
async def test_what_is_issued_has_its_badge_and_its_moment(database: Database, missing: str) -> None:
    nothing: dict[str, Any] = {missing: None}

    with refused_by("ck_badge_issuances_issued"):
        await an_issuance(database, state=IssuanceState.ISSUED, **nothing)


@pytest.mark.parametrize("state", [state for state in IssuanceState if state is not IssuanceState.ISSUED])
async def test_what_is_not_issued_has_no_badge(database: Database, state: IssuanceState) -> None:
    with refused_by("ck_badge_issuances_issued"):
        await an_issuance(database, state=state, **HAS_BADGE)


@pytest.mark.parametrize("missing", LEASED)
async def test_what_is_being_issued_has_a_claim_and_a_lease(database: Database, missing: str) -> None:
    nothing: dict[str, Any] = {missing: None}

    with refused_by("ck_badge_issuances_issuing"):
        await an_issuance(database, state=IssuanceState.ISSUING, **nothing)


@pytest.mark.parametrize("state", [state for state in IssuanceState if state is not IssuanceState.ISSUING])
async def test_what_is_not_being_issued_has_no_lease(database: Database, state: IssuanceState) -> None:
    with refused_by("ck_badge_issuances_issuing"):
        await an_issuance(database, state=state, **LEASED)


@pytest.mark.parametrize("state", WITH_REASON)
async def test_what_is_held_up_says_why(database: Database, state: IssuanceState) -> None:
    with refused_by("ck_badge_issuances_reason_given"):
        await an_issuance(database, state=state, reason=None)


@pytest.mark.parametrize("state", [IssuanceState.ISSUED, IssuanceState.ISSUING])
async def test_what_is_issued_or_being_issued_has_no_reason(database: Database, state: IssuanceState) -> None:
    with refused_by("ck_badge_issuances_reason_given"):
        await an_issuance(database, state=state, reason=Reason.THROTTLED)


@pytest.mark.parametrize("reason", [None, Reason.THROTTLED])
async def test_what_is_pending_may_say_why(database: Database, reason: Reason | None) -> None:
    await an_issuance(database, state=IssuanceState.PENDING, reason=reason)

    assert (await the_row_of(database, BadgeIssuance)).reason is reason


async def test_attempts_are_not_negative(database: Database) -> None:
    with refused_by("ck_badge_issuances_attempts"):
        await an_issuance(database, attempts=-1)


@pytest.mark.parametrize("column", ["state", "reason", "origin"])
@pytest.mark.parametrize("value", ["unheard_of", "PENDING", "TOKEN_REFUSED", "AWARD", ""])
async def test_an_unknown_word_in_the_ledger_is_refused_by_the_database(
    database: Database, column: str, value: str
) -> None:
    await an_issuance(database)

    with refused_by(f"ck_badge_issuances_({column}|issued|reason_given)|{column}"):
        await sql(database, f"UPDATE badge_issuances SET {column} = :value", value=value)


@pytest.mark.parametrize("column", ["kind", "outcome"])
async def test_an_unknown_word_in_an_attempt_is_refused_by_the_database(database: Database, column: str) -> None:
    await an_attempt(database, issuance=await an_issuance(database))

    with refused_by(f"{column}"):
        await sql(database, f"UPDATE issuance_attempts SET {column} = 'unheard_of'")


@pytest.mark.parametrize("column", [name for of, name, _ in CHOICES if of == "credly_integrations"])
async def test_an_unknown_word_in_an_integration_is_refused_by_the_database(database: Database, column: str) -> None:
    await an_integration(database)

    with refused_by(f"{column}"):
        await sql(database, f"UPDATE credly_integrations SET {column} = 'unheard_of'")


# Without those that other columns have to agree with.
@pytest.mark.parametrize(
    ("table", "column", "members"), [each for each in CHOICES if each[1] not in ("state", "expiry")]
)
async def test_the_migrated_tables_know_every_word(
    database: Database, table: str, column: str, members: type[StrEnum]
) -> None:
    """Comparing the models with the migrations does not see a new member of an enum."""
    await an_attempt(database, issuance=await an_issuance(database))
    await an_integration(database)

    for member in members:
        await sql(database, f"UPDATE {table} SET {column} = :value", value=member.value)


@pytest.mark.parametrize("state", IssuanceState)
async def test_the_migrated_ledger_takes_every_state(database: Database, state: IssuanceState) -> None:
    await an_issuance(database, state=state)

    assert (await the_row_of(database, BadgeIssuance)).state is state


@pytest.mark.parametrize("expiry", Expiry)
async def test_only_an_expiry_after_days_has_days(database: Database, expiry: Expiry) -> None:
    days = 365 if expiry is Expiry.AFTER_DAYS else None
    await an_integration(database, expiry=expiry, expires_after_days=days)

    with refused_by("ck_credly_integrations_expires_after_days"):
        await sql(database, "UPDATE credly_integrations SET expires_after_days = :days", days=None if days else 365)


@pytest.mark.parametrize("days", [0, -1])
async def test_a_badge_cannot_expire_before_it_is_issued(database: Database, days: int) -> None:
    with refused_by("ck_credly_integrations_days_positive"):
        await an_integration(database, expiry=Expiry.AFTER_DAYS, expires_after_days=days)


async def test_an_integration_names_a_template(database: Database) -> None:
    with refused_by("ck_credly_integrations_badge_template"):
        await an_integration(database, badge_template_id="")


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"calls_per_second": 0.0}, "pace"),
        ({"calls_per_second": -1.0}, "pace"),
        ({"calls_per_second": 1000.5}, "pace"),
        ({"token_block": ""}, "token_block"),
        ({"organization_id": ""}, "organization"),
    ],
)
async def test_a_connection_is_complete(database: Database, changes: dict[str, Any], constraint: str) -> None:
    with refused_by(f"ck_credly_connections_{constraint}"):
        await a_connection(database, **changes)


async def test_an_attempt_belongs_to_an_issuance(database: Database) -> None:
    with refused_by("fk_issuance_attempts_issuance_id|FOREIGN KEY"):
        await an_attempt(database, issuance=4711)


async def test_the_ledger_needs_nothing_of_the_platform_to_exist(database: Database) -> None:
    await an_issuance(database, user="gone", achievement="gone", portal="gone", award_id="gone", project_id="gone")

    assert len(await rows_of(database, BadgeIssuance)) == 1


async def test_a_moment_without_a_time_zone_is_refused(database: Database) -> None:
    issuance = await an_issuance(database)

    with pytest.raises(StatementError, match="ValueError before the statement was sent"):
        await change(database, BadgeIssuance, issuance, not_before=datetime(2026, 11, 10))  # noqa: DTZ001


async def test_a_moment_comes_back_to_the_microsecond_and_in_utc(database: Database) -> None:
    moment = NOW + timedelta(microseconds=123_456)
    await an_issuance(database, not_before=moment)

    row = await the_row_of(database, BadgeIssuance)

    assert row.not_before == moment
    assert row.not_before.utcoffset() == timedelta(0)


async def test_an_integration_is_strict_about_earning_again_unless_told_otherwise(database: Database) -> None:
    await an_achievement(database)
    await sql(
        database,
        "INSERT INTO credly_integrations (achievement_id, badge_template_id, enabled_at, suppress_notification, locale,"
        " expiry, user_evidence, user_evidence_name, user_evidence_description, company_evidence,"
        " company_evidence_name, company_evidence_description, project_evidence, project_evidence_name,"
        " project_evidence_description, portal_evidence, portal_evidence_name, portal_evidence_description)"
        " VALUES ('forklift', :template, CURRENT_TIMESTAMP, false, '', 'template_default', false, '', '', false, '',"
        " '', false, '', '', false, '', '')",
        template=TEMPLATE,
    )

    assert (await the_row_of(database, CredlyIntegration)).earned_again is EarnedAgain.REFUSE


async def test_rows_show_their_key_and_nobody(database: Database) -> None:
    await an_award(database, user=await a_user(database, "u-1", first_name="Adelheid", email="adelheid@example.org"))
    await an_attempt(database, issuance=await an_issuance(database, credly_message="Adelheid", requested_by="adelheid"))
    await a_connection(database, token_block="adelheid-block")

    rows = [
        model(**row._mapping)
        for model in (User, UserEmail, Portal, BadgeIssuance, IssuanceAttempt, CredlyConnection)
        for row in await rows_of(database, model)
    ]

    assert len(rows) == 6
    for row in rows:
        assert repr(row) == f"{type(row).__name__}(id={row.id!r})"
        assert "adelheid" not in f"{row} {row!r}".lower()


async def test_a_refused_row_does_not_show_its_values(database: Database) -> None:
    await a_user(database, "ada")

    with pytest.raises(IntegrityError) as raised:
        await a_user(database, "ada", first_name="Adelheid")

    assert "Adelheid" not in f"{raised.value}"
