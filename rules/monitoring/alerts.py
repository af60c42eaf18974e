"""Alerts for operators, decided at the end of a run from its results and those of earlier runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from rules.forms.links import form_link
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.monitoring.run_summary import IssuanceRef
from rules.wording import counted, moment

FAILED_AT_LEAST = 5
GREW_AT_LEAST = 10
REFUSED_NAMED = 5
PREFIX = "laurel"
BADGE_REFUSED = "laurel.badge.refused"
RUNS_RESUMED = "laurel.runs.resumed"
REVOKING_HELD = "laurel.revoking.held"
NAMES_HELD = "laurel.names.held"
BADGES_UNCLAIMED = "laurel.badges.unclaimed"
RECONCILED = "laurel.reconcile.completed"


class _Words(NamedTuple):
    event: str
    resolved_event: str
    heading: str
    resolved_heading: str
    advice: str


class AlertKind(StrEnum):
    """The kinds of alert. Each has an event, which every run sends while it lasts, and another when it is resolved."""

    ORGANIZATION_STOPPED = "organization_stopped"
    TOKEN_ENDS = "token_ends"  # noqa: S105 - a token's end, not a token
    BACKLOG_GROWS = "backlog_grows"
    MANY_FAILURES = "many_failures"
    QUIET = "quiet"

    @property
    def event(self) -> str:
        return f"{PREFIX}.{_WORDS[self].event}"

    @property
    def resolved_event(self) -> str:
        return f"{PREFIX}.{_WORDS[self].resolved_event}"

    @property
    def heading(self) -> str:
        return _WORDS[self].heading

    @property
    def resolved_heading(self) -> str:
        return _WORDS[self].resolved_heading

    @property
    def advice(self) -> str:
        return _WORDS[self].advice


_WORDS = {
    AlertKind.ORGANIZATION_STOPPED: _Words(
        "organization.stopped",
        "organization.well",
        "Badges of a Credly organization are stopped",
        "Badges of a Credly organization are issued again",
        "Nothing is lost: the remaining badges wait, and are issued automatically once the cause is gone.",
    ),
    AlertKind.TOKEN_ENDS: _Words(
        "token.ending",
        "token.replaced",
        "A Credly token ends soon",
        "A Credly token was replaced",
        "Put a new token into the connection's Secret block; docs/how-to/portals.md says how. "
        "Without one nothing is issued.",
    ),
    AlertKind.BACKLOG_GROWS: _Words(
        "backlog.growing",
        "backlog.well",
        "The backlog of badges grows",
        "The backlog of badges no longer grows",
        "Read the run's page: what waits, why, and until when. If it is due and runs are too slow, raise the "
        "connection's calls a second.",
    ),
    AlertKind.MANY_FAILURES: _Words(
        "failures.many",
        "failures.few",
        "Many badges are refused",
        "Badges are no longer refused in large numbers",
        "Read the run's page: each reason with what to do, and the badges by their ids.",
    ),
    AlertKind.QUIET: _Words(
        "issuing.quiet",
        "issuing.resumed",
        "No badge was issued for unusually long",
        "Badges are issued again",
        "Check whether the platform still supplies awards, and whether integrations are paused or removed.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert: its kind, its subject (the id of an organization or portal, or empty), and a sentence."""

    kind: AlertKind
    subject: str = ""
    sentence: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """The key under which runs keep it: `organization_stopped:<id>`."""
        return f"{self.kind}:{self.subject}"


@dataclass(frozen=True, kw_only=True)
class AlertThresholds:
    """The thresholds of alerts; from the settings."""

    failed_share: float
    backlog_runs: int
    quiet_after: timedelta
    no_run_for: timedelta


@dataclass(frozen=True, kw_only=True)
class RunHealth:
    """The recorded findings of a run. `backlog` counts due and blocked issuances; `alarms` has the keys of alerts."""

    at: datetime
    issued: int
    failed: int
    backlog: int
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunFindings:
    """The findings of the present run. Moments are in UTC; `last_issued` has the latest badge first."""

    now: datetime
    issued: int
    failed: int
    backlog: int
    stopped: Mapping[str, Reason] = field(default_factory=dict)
    tokens_ending: Mapping[str, datetime] = field(default_factory=dict)
    last_issued: Sequence[datetime] = ()


def health_words(
    raised: Sequence[Alert], *, to_do: str = "", left: Sequence[str] = (), notes: Sequence[str] = ()
) -> str:
    """Return what operators have to know after a run, as text.

    `to_do` is the message of a run that failed or needs attention, `left` are counts of what earlier runs or the
    platform leave undone, `notes` the sentences of the run's page.
    """
    words = [each.sentence for each in raised]
    if to_do:
        words.append(f"{'An' if raised else 'No alert, but an'} operator has to act: {to_do.rstrip('.')}.")
    elif left and not raised:
        words.append(f"No alert; {' and '.join(left)}.")
    return " ".join([*words, *notes]) or "Nothing is wrong."


def alert_words(key: str) -> str:
    """Return the key of an alert as text: `Many badges are refused`."""
    name, _, subject = key.partition(":")
    # An alert of another version of Laurel may be in the history.
    heading = AlertKind(name).heading if name in set(AlertKind) else name.replace("_", " ")
    return f"{heading}: {subject}" if subject else heading


def alerts_of(findings: RunFindings, earlier: Sequence[RunHealth], *, limits: AlertThresholds) -> list[Alert]:
    """Return the present alerts. `earlier` are the findings of earlier runs, the latest first."""
    raised = [
        Alert(
            kind=AlertKind.ORGANIZATION_STOPPED,
            subject=key,
            sentence=f"Organization {key}: {why.sentence} {why.advice}",
        )
        for key, why in sorted(findings.stopped.items())
    ]
    for key, ends_at in sorted(findings.tokens_ending.items()):
        verb = "ends" if ends_at > findings.now else "ended"
        sentence = f"The Credly token of portal {key} {verb} at {moment(ends_at)}."
        raised.append(Alert(kind=AlertKind.TOKEN_ENDS, subject=key, sentence=sentence))
    return (
        raised
        + [each for each in (_backlog(findings, earlier, limits), _quiet(findings, limits)) if each]
        + _failures(findings, earlier, limits)
    )


def resolved(raised: Sequence[Alert], earlier: Sequence[RunHealth]) -> list[Alert]:
    """Return the alerts of the run before that are no longer raised."""
    if not earlier:
        return []
    now = {each.key for each in raised}
    # An alert of another version of Laurel may be in the history.
    before = [key.partition(":") for key in earlier[0].alarms if key not in now]
    return [_resolved(AlertKind(name), subject) for name, _, subject in before if name in set(AlertKind)]


def _resolved(kind: AlertKind, subject: str) -> Alert:
    return Alert(kind=kind, subject=subject, sentence=": ".join(filter(None, (kind.resolved_heading, subject))) + ".")


def outage_before(findings: RunFindings, earlier: Sequence[RunHealth], *, limits: AlertThresholds) -> timedelta | None:
    """Return how long no run had finished before this one, if longer than the threshold."""
    if not earlier:
        return None
    span = findings.now - earlier[0].at
    return span if span > limits.no_run_for else None


def _backlog(findings: RunFindings, earlier: Sequence[RunHealth], limits: AlertThresholds) -> Alert | None:
    counts = [findings.backlog, *(each.backlog for each in earlier[: limits.backlog_runs])]
    if len(counts) <= limits.backlog_runs or counts[0] - counts[-1] < GREW_AT_LEAST:
        return None
    # In every run: a backlog that goes up and down is only uneven.
    if any(later <= before for later, before in pairwise(counts)):
        return None
    runs = counted(limits.backlog_runs, "run")
    sentence = f"The backlog grew in each of the last {runs}: from {counts[-1]} to {counted(counts[0], 'badge')}."
    return Alert(kind=AlertKind.BACKLOG_GROWS, sentence=sentence)


def _failures(findings: RunFindings, earlier: Sequence[RunHealth], limits: AlertThresholds) -> list[Alert]:
    done = findings.issued + findings.failed
    if not done:
        # A run without badges shows neither failures nor their end, so the alert of the run before stays.
        stays = bool(earlier) and f"{AlertKind.MANY_FAILURES}:" in earlier[0].alarms
        sentence = "No badge was tried since many were refused."
        return [Alert(kind=AlertKind.MANY_FAILURES, sentence=sentence)] if stays else []
    if findings.failed < FAILED_AT_LEAST or findings.failed / done <= limits.failed_share:
        return []
    latest = f"{findings.failed} of the latest {counted(done, 'badge')}"
    sentence = f"{latest} were refused ({findings.failed / done:.0%})."
    return [Alert(kind=AlertKind.MANY_FAILURES, sentence=sentence)]


def refused_words(named: Mapping[tuple[IssuanceState, Reason], Sequence[IssuanceRef]], issue_form: str) -> str:
    """Return a line for each of the first refused badges, with a link to the form that issues it by hand."""
    refused = [each for (state, _), names in named.items() if state is IssuanceState.FAILED for each in names]
    lines = [
        f"{each.achievement_id} to {each.user_id} {form_link(issue_form, **each.form_fields)}".rstrip()
        for each in sorted(refused)[:REFUSED_NAMED]
    ]
    return "\n".join([*lines, *(["…"] if len(refused) > REFUSED_NAMED else [])])


def _quiet(findings: RunFindings, limits: AlertThresholds) -> Alert | None:
    if not findings.last_issued:
        return None
    issued = findings.last_issued
    # Longer than the limit and than twice the longest pause between the latest badges: small portals have long pauses.
    pauses = [later - before for later, before in pairwise(issued)]
    usual = max([limits.quiet_after, *(2 * pause for pause in pauses)])
    if findings.now - issued[0] <= usual:
        return None
    sentence = f"No badge was issued since {moment(issued[0])}; so long a pause is unusual."
    return Alert(kind=AlertKind.QUIET, sentence=sentence)
