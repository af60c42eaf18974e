"""What is planned, what is wrong with it, and that Prefect can read the schedules of prefect.yaml at all."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule

from rules.monitoring.schedule import ScheduledDeployment, next_runs
from settings import ROOT

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCHEDULES: list[dict[str, Any]] = [
    schedule
    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    for schedule in deployment.get("schedules", [])
]


@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("cron", sorted({schedule["cron"] for schedule in SCHEDULES}))
async def test_prefects_scheduler_can_read_the_schedule(cron: str, timezone: str) -> None:
    dates = await CronSchedule(cron=cron, timezone=timezone).get_dates(3, start=NOW)

    assert len(dates) == 3
    assert all(date > NOW - timedelta(seconds=1) for date in dates)


def test_each_schedule_has_a_slug_so_that_deploying_keeps_one_that_was_switched_off() -> None:
    assert len(SCHEDULES) == 8
    assert [each for each in SCHEDULES if not each.get("slug") or "active" in each] == []


def a_deployment(**changes: Any) -> ScheduledDeployment:
    plain: dict[str, Any] = {
        "name": "reconcile",
        "pool": "badges",
        "switched_on": True,
        "next_run_at": NOW + timedelta(minutes=9),
        "workers_online": 1,
        "completed_at": NOW - timedelta(minutes=6),
        "known_since": NOW - 100 * HOUR,
    }
    return ScheduledDeployment(**plain | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"switched_on": False, "next_run_at": None}, ["Its schedule is switched off."]),
        ({"next_run_at": None}, ["No run is planned."]),
        ({"next_run_at": NOW - timedelta(minutes=4)}, []),
        ({"next_run_at": NOW - HOUR / 2}, ["The run planned for 2026-11-26 11:30:00 UTC has not begun."]),
        ({"workers_online": 0}, ["No worker of the work pool badges is online."]),
        ({"pool_paused": True, "workers_online": 0}, ["The work pool badges is paused."]),
        ({"completed_at": NOW - HOUR}, ["No run of it has completed since 2026-11-26 11:00:00 UTC."]),
        ({"completed_at": NOW - HOUR, "started_at": NOW - 2 * HOUR}, []),
        ({"completed_at": NOW - HOUR, "name": "audit"}, []),
        ({"completed_at": None, "known_since": NOW - HOUR / 4}, []),
        ({"completed_at": None}, ["No run of it has completed since 2026-11-22 08:00:00 UTC."]),
    ],
)
def test_what_keeps_runs_from_happening_is_said(changes: dict[str, Any], said: list[str]) -> None:
    problems = a_deployment(**changes).problems(now=NOW, silent_after=timedelta(minutes=45))

    assert [problem.what for problem in problems] == said


def test_the_worker_that_is_advised_has_what_the_command_of_a_run_reads() -> None:
    (problem,) = a_deployment(workers_online=0).problems(now=NOW, silent_after=HOUR)
    read = set(re.findall(r"\$\{?(LAUREL_\w+)", (ROOT / "prefect.yaml").read_text(encoding="utf-8")))

    assert read == {"LAUREL_ROOT", "LAUREL_PYTHON"}  # the second one has a default
    assert problem.advice.endswith("LAUREL_ROOT=$PWD .venv/bin/prefect worker start --pool badges")


def test_next_runs_are_listed_with_the_main_one_first() -> None:
    found = next_runs(
        [
            a_deployment(name="audit", next_run_at=NOW + 14 * HOUR),
            a_deployment(name="check", switched_on=False, next_run_at=None),
            a_deployment(name="clean-up", next_run_at=None),
            a_deployment(),
        ],
        now=NOW,
    )

    assert [" ".join(line.split()) for line in found] == [
        "reconcile 2026-11-26 12:09:00 UTC (in 9 min)",
        "audit 2026-11-27 02:00:00 UTC",
        "clean-up none planned",
        "check switched off",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "1 worker"),
        ({"workers_online": 0}, "nobody: no worker is online"),
        ({"pool_paused": True}, "nobody: the work pool is paused"),
    ],
)
def test_who_would_start_a_run_is_said(changes: dict[str, Any], said: str) -> None:
    assert a_deployment(**changes).worker() == said
