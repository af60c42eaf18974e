"""The schedule of `reconcile` while the demo waits for it: every few seconds in place of every minute."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from demo.servers import DemoError, ask

EVERY_SECONDS = 10
_LOOK_EVERY_SECONDS = 0.5
_QUIET_WITHIN_SECONDS = 60.0


class Schedule:
    """The scheduled runs of `reconcile` on the demo's Prefect server."""

    def __init__(self, port: int) -> None:
        self._port = port
        wanted = {"deployments": {"name": {"any_": ["reconcile"]}}}
        (self._deployment,) = ask(port, "/api/deployments/filter", body=wanted)
        (self._schedule,) = self._deployment["schedules"]
        self._seen: set[str] = set()

    def change(self, schedule: dict[str, Any]) -> None:
        # Through the deployment and not the schedule itself: then the server plans its runs within seconds.
        changed = {"slug": self._schedule["slug"], "schedule": schedule}
        ask(self._port, f"/api/deployments/{self._deployment['id']}", body={"schedules": [changed]}, method="PATCH")

    def back(self) -> None:
        self.change(self._schedule["schedule"])

    def wait_until_quiet(self, *, within_seconds: float) -> None:
        # A run that is stopped half-way would occupy the schedule's only slot.
        wanted = self._wanted("PENDING", "RUNNING")
        deadline = time.monotonic() + within_seconds
        while ask(self._port, "/api/flow_runs/filter", body=wanted) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_SECONDS)

    def wait_for_run(self, *, within_seconds: float, meanwhile: Callable[[], None]) -> float:
        """Wait for one more run that the schedule began and that ends well; return how many seconds it took.

        Raises:
            DemoError: a run failed, or none ended in time.
        """
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            for run in self._ended():
                if run["state_type"] == "COMPLETED":
                    return (_moment(run["end_time"]) - _moment(run["start_time"])).total_seconds()
                if run["state_type"] != "CANCELLED":  # a slot that came while a run was going on is cancelled
                    raise DemoError(f"The scheduled run {run['name']} ended as {run['state_name']}: see .laurel/logs/.")
            meanwhile()
            time.sleep(_LOOK_EVERY_SECONDS)
        raise DemoError(f"No scheduled run ended within {within_seconds:.0f} seconds: see .laurel/logs/.")

    def _ended(self) -> Iterator[dict[str, Any]]:
        wanted = self._wanted("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        for run in ask(self._port, "/api/flow_runs/filter", body=wanted):
            if run["id"] not in self._seen:
                self._seen.add(run["id"])
                yield run

    def _wanted(self, *states: str) -> dict[str, Any]:
        return {
            "deployments": {"id": {"any_": [self._deployment["id"]]}},
            "flow_runs": {"state": {"type": {"any_": states}}},
            "sort": "EXPECTED_START_TIME_ASC",
        }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def sped_up(port: int) -> Iterator[Schedule]:
    schedule = Schedule(port)
    schedule.change({"interval": EVERY_SECONDS, "timezone": "UTC"})
    try:
        yield schedule
    finally:
        schedule.back()
        schedule.wait_until_quiet(within_seconds=_QUIET_WITHIN_SECONDS)
