"""Whether scheduled deployments have their next runs planned, and whether a worker can start them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from rules.wording import counted, moment

OVERDUE_AFTER = timedelta(minutes=5)  # workers poll every few seconds; Prefect plans every minute
MAIN = "reconcile"
NEXT_RUNS = "The next runs:"
_MINUTES_SHOWN = 120


class Problem(NamedTuple):
    """A problem of a deployment, and what to do about it."""

    what: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class ScheduledDeployment:
    """A deployment with a schedule, as stored in Prefect's server. Moments are aware."""

    name: str
    pool: str
    switched_on: bool
    next_run_at: datetime | None
    workers_online: int
    pool_paused: bool = False
    started_at: datetime | None = None
    """The start of its latest run that is still in progress."""
    completed_at: datetime | None = None
    """When its latest run completed."""
    known_since: datetime | None = None
    """When the deployment was created."""

    def next_run(self, *, now: datetime) -> str:
        if not self.switched_on:
            return "switched off"
        if self.next_run_at is None:
            return "none planned"
        minutes = max(0, round((self.next_run_at - now).total_seconds() / 60))
        return f"{moment(self.next_run_at)}{f' (in {minutes} min)' if minutes < _MINUTES_SHOWN else ''}"

    def worker(self) -> str:
        if self.pool_paused:
            return "nobody: the work pool is paused"
        return counted(self.workers_online, "worker") if self.workers_online else "nobody: no worker is online"

    def problems(self, *, now: datetime, silent_after: timedelta) -> Iterator[Problem]:
        """Yield what prevents its runs; `silent_after` is for `reconcile` alone."""
        if not self.switched_on:
            yield Problem(
                "Its schedule is switched off.",
                "Switch it on on the deployment's page, unless it was switched off on purpose.",
            )
        elif self.next_run_at is None:
            yield Problem(
                "No run is planned.",
                "Prefect's server plans runs every minute. Search its log for errors of the scheduler.",
            )
        elif now - self.next_run_at > OVERDUE_AFTER:
            yield Problem(
                f"The run planned for {moment(self.next_run_at)} has not begun.",
                f"Check the worker of the pool {self.pool}: is it running, and does its log have errors?",
            )
        if self.pool_paused:
            yield Problem(f"The work pool {self.pool} is paused.", "Resume it on its page.")
        elif not self.workers_online:
            yield Problem(
                f"No worker of the work pool {self.pool} is online.",
                f"Start one, in the checkout: LAUREL_ROOT=$PWD .venv/bin/prefect worker start --pool {self.pool}",
            )
        if self.name == MAIN and (since := self.silent_since()) is not None and now - since > silent_after:
            yield Problem(
                f"No run of it has completed since {moment(since)}.",
                "No badge was issued by the schedule since then. Nothing is lost: the next run issues them.",
            )

    def silent_since(self) -> datetime | None:
        """Return since when no run has completed; None while one is in progress."""
        return None if self.started_at else self.completed_at or self.known_since


def next_runs(deployments: Sequence[ScheduledDeployment], *, now: datetime) -> list[str]:
    """Return a line for each deployment with its next run, the main one first and then by time."""

    def order(each: ScheduledDeployment) -> tuple[bool, bool, str]:
        return each.name != MAIN, each.next_run_at is None, each.next_run(now=now)

    return [f"{each.name:<18}{each.next_run(now=now)}" for each in sorted(deployments, key=order)]
