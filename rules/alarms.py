"""What a person should hear of: decided at the end of a run from what it did and what earlier runs found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from rules.reasons import Reason
from rules.told import counted, moment

FAILED_AT_LEAST = 5
GREW_AT_LEAST = 10
PREFIX = "laurel"
BADGE_REFUSED = "laurel.badge.refused"
RUNS_RESUMED = "laurel.runs.resumed"
REVOKING_HELD = "laurel.revoking.held"
RECONCILED = "laurel.reconcile.completed"


class _Words(NamedTuple):
    event: str
    over_event: str
    heading: str
    over_heading: str
    advice: str


class Alarm(StrEnum):
    """What can be wrong. Each begins with an event, told in every run while it lasts, and ends with another."""

    ORGANIZATION_STOPPED = "organization_stopped"
    TOKEN_ENDS = "token_ends"  # noqa: S105 - a token's end, not a token
    BACKLOG_GROWS = "backlog_grows"
    MANY_FAILURES = "many_failures"
    QUIET = "quiet"

    @property
    def event(self) -> str:
        """The name of the event while it lasts."""
        return f"{PREFIX}.{_WORDS[self].event}"

    @property
    def over_event(self) -> str:
        """The name of the event when it is well again."""
        return f"{PREFIX}.{_WORDS[self].over_event}"

    @property
    def heading(self) -> str:
        """What is wrong, as the subject of a message."""
        return _WORDS[self].heading

    @property
    def over_heading(self) -> str:
        """That it is well again, as the subject of a message."""
        return _WORDS[self].over_heading

    @property
    def advice(self) -> str:
        """What a person can do."""
        return _WORDS[self].advice


_WORDS = {
    Alarm.ORGANIZATION_STOPPED: _Words(
        "organization.stopped",
        "organization.well",
        "Badges of a Credly organization are stopped",
        "Badges of a Credly organization go out again",
        "Nothing is lost: the rest waits and goes out by itself once this is mended.",
    ),
    Alarm.TOKEN_ENDS: _Words(
        "token.ending",
        "token.replaced",
        "A Credly token ends soon",
        "A Credly token was replaced",
        "Put a new token into the connection's Secret block; docs/how-to.md says how. Without one nothing is issued.",
    ),
    Alarm.BACKLOG_GROWS: _Words(
        "backlog.growing",
        "backlog.well",
        "The backlog of badges grows",
        "The backlog of badges does not grow any more",
        "Look at the run's page: what waits, why, and until when. If it is due and runs are too slow, raise the "
        "connection's calls a second.",
    ),
    Alarm.MANY_FAILURES: _Words(
        "failures.many",
        "failures.few",
        "Many badges are refused",
        "Badges are no longer refused in numbers",
        "Look at the run's page: each reason with what to do, and the badges by their ids.",
    ),
    Alarm.QUIET: _Words(
        "issuing.quiet",
        "issuing.resumed",
        "No badge was issued for unusually long",
        "Badges are issued again",
        "Look whether the platform still gives awards to Laurel, and whether integrations are paused or removed.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Raised:
    """An alarm: of what (an organization's or portal's id, or nothing), and what happened, in a sentence."""

    alarm: Alarm
    subject: str = ""
    sentence: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """As it is kept from run to run: `organization_stopped:<id>`."""
        return f"{self.alarm}:{self.subject}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When something is worth an alarm; from the settings."""

    failed_share: float
    backlog_runs: int
    quiet_after: timedelta
    no_run_for: timedelta


@dataclass(frozen=True, kw_only=True)
class Health:
    """What one run found. `backlog` is what is due and what is blocked, `alarms` the keys of what was raised."""

    at: datetime
    issued: int
    failed: int
    backlog: int
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a run found, for deciding on alarms. Moments are in UTC; `last_issued` has the latest badge first."""

    now: datetime
    issued: int
    failed: int
    backlog: int
    stopped: Mapping[str, Reason] = field(default_factory=dict)
    tokens_ending: Mapping[str, datetime] = field(default_factory=dict)
    last_issued: Sequence[datetime] = ()


def alarms(found: Found, earlier: Sequence[Health], *, limits: Limits) -> list[Raised]:
    """Return what is wrong now. `earlier` are the findings of earlier runs, the latest first."""
    raised = [
        Raised(
            alarm=Alarm.ORGANIZATION_STOPPED, subject=key, sentence=f"Organization {key}: {why.sentence} {why.advice}"
        )
        for key, why in sorted(found.stopped.items())
    ]
    raised += [
        Raised(
            alarm=Alarm.TOKEN_ENDS, subject=key, sentence=f"The Credly token of portal {key} ends at {moment(ends_at)}."
        )
        for key, ends_at in sorted(found.tokens_ending.items())
    ]
    return (
        raised
        + [each for each in (_backlog(found, earlier, limits), _quiet(found, limits)) if each]
        + _failures(found, earlier, limits)
    )


def over(raised: Sequence[Raised], earlier: Sequence[Health]) -> list[Raised]:
    """Return the alarms of the run before that are no longer raised."""
    if not earlier:
        return []
    now = {each.key for each in raised}
    before = [key.partition(":") for key in earlier[0].alarms if key not in now]
    return [_ended(Alarm(name), subject) for name, _, subject in before if name in set(Alarm)]


def _ended(alarm: Alarm, subject: str) -> Raised:
    return Raised(alarm=alarm, subject=subject, sentence=": ".join(filter(None, (alarm.over_heading, subject))) + ".")


def slept(found: Found, earlier: Sequence[Health], *, limits: Limits) -> timedelta | None:
    """Return for how long nothing had run before this run, if that was longer than usual."""
    if not earlier:
        return None
    span = found.now - earlier[0].at
    return span if span > limits.no_run_for else None


def _backlog(found: Found, earlier: Sequence[Health], limits: Limits) -> Raised | None:
    counts = [found.backlog, *(each.backlog for each in earlier[: limits.backlog_runs])]
    if len(counts) <= limits.backlog_runs or counts[0] - counts[-1] < GREW_AT_LEAST:
        return None
    if any(later <= before for later, before in pairwise(counts)):
        return None
    runs = counted(limits.backlog_runs, "run")
    sentence = f"The backlog grew in each of the last {runs}: from {counts[-1]} to {counted(counts[0], 'badge')}."
    return Raised(alarm=Alarm.BACKLOG_GROWS, sentence=sentence)


def _failures(found: Found, earlier: Sequence[Health], limits: Limits) -> list[Raised]:
    """Many failures; a run that did nothing says nothing about it, and what the run before said stands."""
    done = found.issued + found.failed
    if not done:
        stands = bool(earlier) and f"{Alarm.MANY_FAILURES}:" in earlier[0].alarms
        sentence = "No badge was tried since many were refused."
        return [Raised(alarm=Alarm.MANY_FAILURES, sentence=sentence)] if stands else []
    if found.failed < FAILED_AT_LEAST or found.failed / done <= limits.failed_share:
        return []
    sentence = f"{found.failed} of {counted(done, 'badge')} of this run were refused ({found.failed / done:.0%})."
    return [Raised(alarm=Alarm.MANY_FAILURES, sentence=sentence)]


def _quiet(found: Found, limits: Limits) -> Raised | None:
    """Quiet for longer than the limit, and for longer than twice the longest pause between the latest badges."""
    if not found.last_issued:
        return None
    issued = found.last_issued
    pauses = [later - before for later, before in pairwise(issued)]
    usual = max([limits.quiet_after, *(2 * pause for pause in pauses)])
    if found.now - issued[0] <= usual:
        return None
    sentence = f"No badge was issued since {moment(issued[0])}; so long a pause is unusual."
    return Raised(alarm=Alarm.QUIET, sentence=sentence)
