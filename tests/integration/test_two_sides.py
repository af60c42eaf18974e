"""The platform's tables and Laurel's are read apart."""

import pytest
from sqlalchemy import Connection, text

from models.database import Database
from tests.support.two_sides import NamesBothSides


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM badge_issuances JOIN users ON users.id = badge_issuances.user_id",
        "SELECT 1 FROM achievement_awards WHERE id NOT IN (SELECT award_id FROM laurel_issuances)",
        "DELETE FROM credly_integrations WHERE achievement_id NOT IN (SELECT id FROM achievements)",
    ],
)
async def test_a_statement_that_names_tables_of_both_sides_fails_the_test_that_runs_it(
    ready: Database, statement: str
) -> None:
    with pytest.raises(NamesBothSides):
        await ready.read(_run, statement)


async def test_statements_about_one_side_pass(ready: Database) -> None:
    await ready.read(_run, "SELECT id FROM users")
    await ready.read(_run, "SELECT id FROM badge_issuances")


def _run(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))
