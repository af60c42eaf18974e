"""The settings: environment variables with the prefix LAUREL_, or a .env file where a command runs (the checkout)."""

import re
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
ONLY_THE_OWNER = 0o077  # the umask of processes that write files about people
DEFAULT_DATABASE = ROOT / ".laurel" / "laurel.db"
# Operators still have addresses with the drivers of earlier versions, and with asyncpg's parameter `ssl`.
_DRIVEN = dict.fromkeys(("sqlite", "sqlite+aiosqlite"), "sqlite") | dict.fromkeys(
    ("postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"), "postgresql+psycopg"
)
_DRIVEN_PLATFORM = _DRIVEN | dict.fromkeys(("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"), "mysql+pymysql")


def _seconds(value: object) -> object:
    # A number in the environment is seconds; anything else is left to pydantic, such as ISO 8601 durations.
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


_CENTURY = 36_500  # days: a moment further away may be one that Python does not have
Seconds = Annotated[timedelta, BeforeValidator(_seconds), Field(le=timedelta(days=_CENTURY))]


class NotConfigured(Exception):
    """A setting is invalid."""


class Dispatch(StrEnum):
    """Where an organization's badges are issued."""

    HERE = "here"
    WORKERS = "workers"


class Settings(BaseSettings):
    """All settings. Durations are in seconds in the environment, and `timedelta` here."""

    model_config = SettingsConfigDict(
        env_prefix="LAUREL_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: str = Field(
        default=f"sqlite:///{DEFAULT_DATABASE}",
        description="The database of Laurel's own tables. SQLite or PostgreSQL.",
    )
    platform_url: str = Field(
        default="",
        description="The platform's database, which Laurel only reads: PostgreSQL, MySQL, MariaDB, SQLite, DuckDB (for "
        "files), or another for which a SQLAlchemy dialect is installed. Empty: the same as LAUREL_DATABASE_URL.",
    )
    mapping: str = Field(
        default="native",
        description="How the platform is read: `native` (tables or views of the names of Laurel's seven relations), "
        "`moodle`, `moodle-completions`, `openedx`, `csv`, `parquet`, or the path of a folder with a query for each.",
    )
    mapping_parameters: str = Field(
        default="",
        description="The values of the mapping's parameters, each as name=value, separated by blanks, such as "
        "`wwwroot=https://moodle.example.org prefix=mdl_`.",
    )
    platform_timeout: Seconds = Field(
        default=timedelta(seconds=60),
        ge=timedelta(seconds=1),
        description="How long one statement may take on a platform that has an address or a mapping of its own.",
    )
    calls_at_once: int = Field(
        default=10, ge=1, le=200, description="How many calls to one Credly organization may run at the same time."
    )
    task_runs_per_run: int = Field(
        default=300,
        ge=1,
        description="About how many Prefect task runs a run creates; with more badges, up to a hundred share one.",
    )
    dispatch: Dispatch = Field(
        default=Dispatch.HERE,
        description="Where an organization's badges are issued: `here`, in the process of the run, or by `workers`, "
        "as a run of the deployment issue-organization on the work pool, which any worker on any machine takes.",
    )
    organizations_at_once: int = Field(
        default=50, ge=1, description="How many organizations one run issues for at the same time."
    )
    retries: int = Field(
        default=3, ge=0, le=10, description="How often a task run is retried after a temporary failure."
    )
    retry_delay: Seconds = Field(
        default=timedelta(seconds=2),
        ge=timedelta(0),
        description="Wait before the first retry; doubles each time, with jitter.",
    )
    throttle_pause_limit: Seconds = Field(
        default=timedelta(seconds=60),
        ge=timedelta(0),
        description="A Retry-After up to this is waited out; a longer one goes back to the ledger.",
    )
    throttle_pause_default: Seconds = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        description="How long an organization pauses after a 429 without a Retry-After.",
    )
    lease: Seconds = Field(
        default=timedelta(minutes=10),
        ge=timedelta(minutes=3),  # a badge is begun only if the longest call, of 130 s, ends before the lease does
        description="How long a claimed issuance belongs to its run. After that, another run may claim it, and looks "
        "it up at Credly first.",
    )
    lookup_grace: Seconds = Field(
        default=timedelta(seconds=60),
        ge=timedelta(0),
        description="How long Credly's lists may lag: a badge not found before this has passed since an unclear "
        "answer may still exist, so nothing is sent again.",
    )
    try_again_after: Seconds = Field(
        default=timedelta(minutes=5),
        ge=timedelta(0),
        le=timedelta(days=1),
        description="First delay before a later run retries a badge that could not be issued; doubles up to a day.",
    )
    recent_awards: Seconds = Field(
        default=timedelta(days=7),
        ge=timedelta(0),
        description="How far back a run checks awards again that an earlier run has passed, since some are written "
        "late. Older ones are found by the sweep.",
    )
    trigger_token: SecretStr = Field(
        default=SecretStr(""),
        description="The token with which the platform may start a run (`python -m tasks.trigger`). At least 20 "
        "characters; empty: there is no such endpoint.",
    )
    sweep_every: Seconds = Field(
        default=timedelta(minutes=15),
        ge=timedelta(0),
        description="How often a scheduled run of reconcile is a whole one, which also sweeps, tries stopped "
        "organizations again and looks for alerts. The runs between issue what is new. 0: each run is a whole one.",
    )
    sweep_rows: int = Field(
        default=50_000,
        ge=1_000,
        description="How many awards, and how many open issuances, each run also checks for late or back-dated "
        "changes. More if checking all of them would otherwise take longer than a day.",
    )
    attempts_limit: int = Field(
        default=40,
        ge=1,
        description="After this many calls without an answer an issuance fails, and an operator has to act: with the "
        "default waits and four calls in each run, nearly two days without Credly.",
    )
    read_timeout: Seconds = Field(
        default=timedelta(seconds=30),
        gt=timedelta(0),
        le=timedelta(minutes=2),  # then the client ends a call
        description="How long Credly may take to answer one call.",
    )

    heartbeat: Seconds = Field(
        default=timedelta(seconds=30),
        ge=timedelta(seconds=1),
        description="How often a run sends a heartbeat. One that has sent none for four times as long is marked as "
        "crashed (read by `python -m scripts.setup_deployment`).",
    )
    stalled_after: Seconds = Field(
        default=timedelta(minutes=15),
        ge=timedelta(seconds=1),
        description="How long a run may make no progress (no call, no transaction) before it is ended.",
    )
    progress_every: Seconds = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        description="How often a long run updates its progress in Prefect.",
    )
    reports_folder: Path = Field(
        default=Path(".laurel/reports"),
        description="Where reports and exports are written; a relative folder is in the checkout. Forms write nowhere "
        "else.",
    )
    reports_target: str = Field(
        default="",
        description="Where reports and exports are moved to once they are complete: a folder or a share "
        "(`file:///mnt/reports`, `smb://`, `sftp://`) or a bucket (`s3://`, `gs://`, `az://`), as an address of "
        "fsspec. Empty: they stay in LAUREL_REPORTS_FOLDER. Files with personal data always stay.",
    )
    reports_link: str = Field(
        default="",
        description="The address under which a browser opens what is in the target (or in LAUREL_REPORTS_FOLDER), "
        "such as `https://files.example.org/laurel`. The runs then link to their files.",
    )
    lists_folder: Path = Field(
        default=Path(".laurel/lists"),
        description="Where issue-badges reads lists from, and from nowhere else; a relative folder is in the checkout.",
    )

    keep_attempts: int = Field(
        default=0,
        ge=0,
        le=_CENTURY,
        description="For how many days calls to Credly are kept, of badges that are issued or cancelled. 0: "
        "permanently. The ledger itself is always kept.",
    )
    keep_answers: int = Field(
        default=0,
        ge=0,
        le=_CENTURY,
        description="For how many days links, messages and request ids from Credly's answers are kept, in the ledger "
        "and in the calls. 0: as long as the row. Ids and states of badges always stay.",
    )
    archive_after: int = Field(
        default=0,
        ge=0,
        le=1200,
        description="After how many whole months the history and the calls of a calendar month (UTC) are moved out of "
        "the ledger, into Parquet files in the folder `archive` of LAUREL_REPORTS_TARGET. Of badges that are issued or "
        "cancelled, and all but the last transition. 0: never.",
    )
    keep_runs: int = Field(
        default=90,
        ge=0,
        le=_CENTURY,
        description="For how many days Laurel's runs and their logs are kept in Prefect, and in the database the run "
        "log and calls to Credly that belong to no badge. 0: permanently.",
    )

    unclaimed_days: int = Field(
        default=14,
        ge=0,
        le=_CENTURY,
        description="After how many days an unclaimed badge counts in the event laurel.badges.unclaimed, which the "
        "nightly audit emits for each portal. 0: no such event.",
    )
    alert_failed_share: float = Field(
        default=0.2, ge=0, le=1, description="Alert if more than this share of a run's badges is refused."
    )
    alert_backlog_runs: int = Field(default=4, ge=1, description="Alert if the backlog grew in each of this many runs.")
    alert_quiet_after: Seconds = Field(
        default=timedelta(days=3),
        ge=timedelta(0),
        description="Alert if no badge was issued for this long, and for twice the longest pause before.",
    )
    alert_no_run_for: Seconds = Field(
        default=timedelta(minutes=45),
        ge=timedelta(seconds=10),
        description="Alert if no run of reconcile completed or made progress for this long. The default is three "
        "times LAUREL_SWEEP_EVERY (read by `python -m scripts.setup_deployment`).",
    )

    @field_validator("database_url")
    @classmethod
    def _with_our_driver(cls, url: str) -> str:
        kind, _, place = url.partition("://")
        if kind not in _DRIVEN:
            raise ValueError("it must start with sqlite:/// or postgresql://")
        return f"{_DRIVEN[kind]}://" + re.sub(r"(?<=[?&])ssl=", "sslmode=", place)

    @field_validator("reports_target")
    @classmethod
    def _without_password(cls, target: str) -> str:
        if target and "://" not in target:
            raise ValueError("it must be an address of fsspec, such as file:///mnt/reports or s3://bucket/laurel")
        if re.search(r"//[^/@]*:[^/@]*@", target):
            raise ValueError("runs show it, so it must hold no password; put it into fsspec's configuration")
        return target

    @property
    def retry_delays(self) -> list[float]:
        """The seconds to wait before each retry, without jitter."""
        return [self.retry_delay.total_seconds() * 2**tried for tried in range(self.retries)]

    @field_validator("archive_after")
    @classmethod
    def _with_target(cls, months: int, info: ValidationInfo) -> int:
        if months and not info.data.get("reports_target"):
            raise ValueError("set LAUREL_REPORTS_TARGET as well; what is moved out must not stay on one worker's disk")
        return months

    @field_validator("reports_link")
    @classmethod
    def _in_a_browser(cls, link: str) -> str:
        if link and not link.startswith(("https://", "http://")):
            raise ValueError("it must be an address such as https://files.example.org/laurel")
        return link

    @field_validator("platform_url")
    @classmethod
    def _with_a_driver(cls, url: str) -> str:
        kind, colon, place = url.partition("://")
        if url and not colon:
            raise ValueError("it must be an address such as mysql://USER:PASSWORD@HOST/DATABASE")
        return cls._with_our_driver(url) if kind in _DRIVEN else f"{_DRIVEN_PLATFORM.get(kind, kind)}{colon}{place}"


@cache
def settings() -> Settings:
    """Read the settings once; after `settings.cache_clear()` they are read again.

    Raises:
        NotConfigured: a setting is invalid. The message omits its value, which may contain a password.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"LAUREL_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
        raise NotConfigured(". ".join(wrong)) from None
