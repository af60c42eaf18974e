"""What can be configured: environment variables with the prefix LAUREL_, or a .env file beside this one."""

import re
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
DEFAULT_DATABASE = ROOT / ".laurel" / "laurel.db"
# The drivers that were used before, with asyncpg's `ssl`, are still in addresses that operators have.
_DRIVEN = dict.fromkeys(("sqlite", "sqlite+aiosqlite"), "sqlite") | dict.fromkeys(
    ("postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"), "postgresql+psycopg"
)


def _seconds(value: object) -> object:
    """The environment gives text; a number is seconds, anything else pydantic's duration forms."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]


class NotConfigured(Exception):
    """A setting is not as it must be."""


class Dispatch(StrEnum):
    """Where an organization's badges are issued."""

    HERE = "here"
    WORKERS = "workers"


class Settings(BaseSettings):
    """Everything an operator may set. Durations are seconds in the environment, `timedelta` here."""

    model_config = SettingsConfigDict(
        env_prefix="LAUREL_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: str = Field(
        default=f"sqlite:///{DEFAULT_DATABASE}",
        description="The platform's database, which also holds Laurel's tables. SQLite or PostgreSQL.",
    )
    calls_at_once: int = Field(
        default=10, ge=1, le=200, description="How many calls to one Credly organization may be under way."
    )
    task_runs_per_run: int = Field(
        default=300,
        ge=1,
        description="How many Prefect task runs a run may make; beyond, several badges share one.",
    )
    dispatch: Dispatch = Field(
        default=Dispatch.HERE,
        description="Where an organization's badges are issued: `here`, in the process of the run, or by `workers`, as "
        "a run of the deployment issue-organization on the work pool, which any worker on any machine takes.",
    )
    organizations_at_once: int = Field(
        default=50, ge=1, description="How many organizations one run issues for at the same time."
    )
    retries: int = Field(
        default=3, ge=0, le=10, description="How often a task run tries again what may pass within one run."
    )
    retry_delay: Seconds = Field(
        default=timedelta(seconds=2),
        description="Wait before the first retry; doubles each time, with jitter.",
    )
    throttle_pause_limit: Seconds = Field(
        default=timedelta(seconds=60),
        description="A Retry-After up to this is waited out; a longer one goes back to the ledger.",
    )
    throttle_pause_default: Seconds = Field(
        default=timedelta(seconds=30),
        description="How long an organization rests after a 429 that does not say how long.",
    )
    lease: Seconds = Field(
        default=timedelta(minutes=10),
        description="How long a claimed issuance belongs to its run; after that Credly is asked first.",
    )
    lookup_grace: Seconds = Field(
        default=timedelta(seconds=60),
        description="How long Credly's lists may lag: a badge not found before this has passed "
        "since an unclear answer may still exist, so nothing is sent again.",
    )
    try_again_after: Seconds = Field(
        default=timedelta(minutes=5),
        description="First wait before a later run takes up what could not be issued; doubles up to a day.",
    )
    recent_awards: Seconds = Field(
        default=timedelta(days=7),
        description="How far back a run looks at awards whose moment an earlier run has passed, the newest 5 000 of "
        "them: what is written down late. Older ones come in with the sweep.",
    )
    sweep_rows: int = Field(
        default=50_000,
        ge=1_000,
        description="How many awards, and how many open issuances, a run goes through besides, for what arrived late "
        "or back-dated. More where all of them would otherwise take longer than a day.",
    )
    attempts_limit: int = Field(
        default=40,
        ge=1,
        description="After so many calls without an answer a person is asked; about a day of Credly being away, "
        "with four calls in each run.",
    )
    read_timeout: Seconds = Field(
        default=timedelta(seconds=30), description="How long Credly may take to answer one call."
    )

    heartbeat: Seconds = Field(
        default=timedelta(seconds=30),
        ge=timedelta(seconds=1),
        description="How often a run sends a heartbeat. One that has sent none for four times as long is marked as "
        "crashed (read by `python -m automations`).",
    )
    stalled_after: Seconds = Field(
        default=timedelta(minutes=15),
        ge=timedelta(seconds=1),
        description="How long a run may make no progress (no call, no transaction) before it is ended.",
    )
    progress_every: Seconds = Field(
        default=timedelta(seconds=5), description="How often a long run shows in Prefect how far it is."
    )
    reports_folder: Path = Field(
        default=Path(".laurel/reports"),
        description="Where reports and exports are written; a relative folder is in the checkout.",
    )

    keep_attempts: int = Field(
        default=0,
        ge=0,
        description="For how many days calls to Credly are kept, of badges that are issued or cancelled. 0: for good. "
        "The ledger itself is always kept.",
    )
    keep_runs: int = Field(
        default=90,
        ge=0,
        description="For how many days Prefect keeps Laurel's runs with their logs, and Laurel those calls to Credly "
        "that belong to no badge and what it noted of runs. 0: for good.",
    )

    alert_failed_share: float = Field(
        default=0.2, ge=0, le=1, description="People are told when more than this share of a run's badges is refused."
    )
    alert_backlog_runs: int = Field(
        default=4, ge=1, description="People are told when the backlog grew in each of so many runs."
    )
    alert_quiet_after: Seconds = Field(
        default=timedelta(days=3),
        description="People are told when no badge was issued for this long, and for twice the longest pause before.",
    )
    alert_no_run_for: Seconds = Field(
        default=timedelta(minutes=45),
        ge=timedelta(seconds=10),
        description="How long no run of reconcile may complete or be at work before that is reported as silence: three "
        "intervals of its schedule (read by `python -m automations`).",
    )

    @field_validator("database_url")
    @classmethod
    def _with_our_driver(cls, url: str) -> str:
        kind, _, place = url.partition("://")
        if kind not in _DRIVEN:
            raise ValueError("it must start with sqlite:/// or postgresql://")
        return f"{_DRIVEN[kind]}://" + re.sub(r"(?<=[?&])ssl=", "sslmode=", place)


@cache
def settings() -> Settings:
    """Read the settings once; `settings.cache_clear()` reads them anew.

    Raises:
        NotConfigured: a setting is not as it must be; named without its value, which may hold a password.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"LAUREL_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
        raise NotConfigured(". ".join(wrong)) from None
