from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rules.ledger.outcome import growing_wait
from settings import DEFAULT_DATABASE, NotConfigured, Settings, settings
from tests.support.facts import NOW

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_without_any_setting_a_file_beside_the_checkout_is_the_database() -> None:
    assert Settings().database_url == f"sqlite:///{DEFAULT_DATABASE}"
    assert DEFAULT_DATABASE.parts[-2:] == (".laurel", "laurel.db")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("sqlite+aiosqlite:///x.db", "sqlite:///x.db"),
        ("postgresql://laurel@db/platform", "postgresql+psycopg://laurel@db/platform"),
        ("postgres://laurel@db/platform", "postgresql+psycopg://laurel@db/platform"),
        ("postgresql+psycopg://laurel@db/platform", "postgresql+psycopg://laurel@db/platform"),
        ("postgresql+asyncpg://laurel@db/platform", "postgresql+psycopg://laurel@db/platform"),
        ("postgresql+asyncpg://db/x?a=b&ssl=require", "postgresql+psycopg://db/x?a=b&sslmode=require"),
        ("postgresql://ssl=:x@db/x?sslmode=verify-full", "postgresql+psycopg://ssl=:x@db/x?sslmode=verify-full"),
    ],
)
def test_a_plain_address_gets_its_driver(given: str, used: str) -> None:
    assert Settings(database_url=given).database_url == used


@pytest.mark.parametrize("url", ["mysql://db/platform", "postgresql+pg8000://db/platform", "", "laurel.db"])
def test_another_database_is_refused_with_what_is_understood(url: str) -> None:
    with pytest.raises(ValidationError, match="must start with sqlite:/// or postgresql://"):
        Settings(database_url=url)


def test_the_environment_is_read_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUREL_CALLS_AT_ONCE", "7")
    monkeypatch.setenv("LAUREL_LEASE", "190")
    monkeypatch.setenv("CALLS_AT_ONCE", "9")

    assert (settings().calls_at_once, settings().lease) == (7, timedelta(seconds=190))


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("LAUREL_CALLS_AT_ONCE", "7")

    assert settings() is before


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().retries = 9  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calls_at_once", 0),
        ("calls_at_once", 201),
        ("task_runs_per_run", 0),
        ("retries", -1),
        ("retries", 11),
        ("keep_answers", 36_501),
    ],
)
def test_numbers_out_of_bounds_are_refused(name: str, value: int) -> None:
    wrong: dict[str, Any] = {name: value}

    with pytest.raises(ValidationError, match=name):
        Settings(**wrong)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_described_here_and_in_the_documents(name: str) -> None:
    documents = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")

    assert (Settings.model_fields[name].description or "").endswith(".")
    assert f"LAUREL_{name.upper()}" in documents


@pytest.mark.parametrize(("given", "meant"), [("90", 90), ("1.5", 1.5), ("PT1M", 60), ("00:02:00", 120)])
def test_a_duration_is_seconds_or_one_of_the_usual_forms(
    monkeypatch: pytest.MonkeyPatch, given: str, meant: float
) -> None:
    monkeypatch.setenv("LAUREL_READ_TIMEOUT", given)

    assert settings().read_timeout == timedelta(seconds=meant)


def test_a_lease_that_is_too_short_is_refused_with_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUREL_LEASE", "179")

    with pytest.raises(NotConfigured, match=r"^LAUREL_LEASE: .* 3 minutes$"):
        settings()


DURATIONS = [name for name, field in Settings.model_fields.items() if field.annotation is timedelta]


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("given", ["-1", "1e12", "inf", "nan", "P99999Y"])
def test_a_duration_that_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, given: str) -> None:
    monkeypatch.setenv(f"LAUREL_{name.upper()}", given)

    with pytest.raises(NotConfigured, match=f"^LAUREL_{name.upper()}: "):
        settings()


@pytest.mark.parametrize("name", DURATIONS)
def test_the_longest_duration_leads_to_moments_that_python_has(name: str) -> None:
    longest = min(each.le for each in Settings.model_fields[name].metadata if hasattr(each, "le"))

    assert NOW - longest < NOW + longest


def test_the_longest_wait_can_be_doubled() -> None:
    longest = min(each.le for each in Settings.model_fields["try_again_after"].metadata if hasattr(each, "le"))

    assert growing_wait(longest, runs=99) == timedelta(days=1)
