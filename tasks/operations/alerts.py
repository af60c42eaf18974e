"""Events about problems and their end; automations turn them into messages. They hold ids and no names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from prefect.artifacts import acreate_table_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from models.operations import run_log
from models.operations.open_counts import last_issued
from models.setup import admin as setting_up
from rules.forms.links import form_link
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState
from rules.markdown import plain
from rules.monitoring.alerts import (
    BADGE_REFUSED,
    BADGES_UNCLAIMED,
    NAMES_HELD,
    RECONCILED,
    REVOKING_HELD,
    RUNS_RESUMED,
    Alert,
    AlertKind,
    AlertThresholds,
    RunFindings,
    RunHealth,
    alert_words,
    alerts_of,
    outage_before,
    refused_words,
    resolved,
)
from rules.monitoring.run_page import HELD_NAMES_ADVICE, PendingCount
from rules.monitoring.run_summary import IssuanceRef, RunSummary
from rules.wording import counted
from settings import Settings
from tasks.operations.token_expiry import WARN_BEFORE
from tasks.runtime.run import Run

_ARTIFACT_KEY = "health"
_LEDGER = "laurel.ledger"
_RESOURCES = {AlertKind.ORGANIZATION_STOPPED: "laurel.organization", AlertKind.TOKEN_ENDS: "laurel.portal"}


@dataclass(frozen=True, kw_only=True)
class RunAlerts:
    """The alerts of a run. Only a whole one (tasks/issuing/cadence.py) is compared with `earlier` ones."""

    found: RunFindings
    raised: Sequence[Alert]
    earlier: Sequence[RunHealth] = ()
    whole: bool


async def find_alerts(
    run: Run, total: RunSummary, stopped: Mapping[str, Reason], pending: Sequence[PendingCount], *, whole: bool
) -> RunAlerts:
    """Return the alerts of a run with this summary, these stopped organizations, and what is pending after it."""
    thresholds = thresholds_of(run.settings)
    if not whole:
        found = RunFindings(now=run.now(), issued=0, failed=0, backlog=0, stopped=stopped)
        return RunAlerts(found=found, raised=alerts_of(found, (), limits=thresholds), whole=False)
    earlier = await run.database.read(run_log.earlier_findings)
    found = await _findings(run, total, stopped, pending)
    if earlier:  # the runs between two whole ones issue as well
        issued, failed = await run.database.read(run_log.results_since, earlier[0].at)
        found = replace(found, issued=found.issued + issued, failed=found.failed + failed)
    return RunAlerts(found=found, raised=alerts_of(found, earlier, limits=thresholds), earlier=earlier, whole=True)


async def emit_events(run: Run, alerts: RunAlerts, total: RunSummary, *, health: str, issue_form: str = "") -> None:
    """Emit events for refused badges, for alerts, and for alerts that ended since the run before.

    `health` is the text of the series of that name, `issue_form` the address of the form issue-badge, for links.
    """
    _emit_refused(total, issue_form)
    for raised in alerts.raised:
        many = alerts.whole and raised.kind is AlertKind.MANY_FAILURES
        _emit(raised.kind.event, raised, badges=refused_words(total.named, issue_form) if many else "")
    if not alerts.whole:
        return
    for ended in resolved(alerts.raised, alerts.earlier):
        _emit(ended.kind.resolved_event, ended)
    silence = outage_before(alerts.found, alerts.earlier, limits=thresholds_of(run.settings))
    if silence is not None:
        minutes = counted(round(silence.total_seconds() / 60), "minute")
        _send(RUNS_RESUMED, _LEDGER, f"reconcile runs again, after {minutes} without a run.")
    await _save(run, alerts, words=health)


def emit_completed(sentence: str) -> None:
    # The automation in automations/silence.py measures the time from one of these events to the next.
    _send(RECONCILED, _LEDGER, sentence)


def emit_revoking_held(portal_id: str, sentence: str, *, advice: str, badges: int) -> None:
    sentence_case = f"{sentence[:1].upper()}{sentence[1:]}."
    _send(REVOKING_HELD, f"laurel.portal.{portal_id}", sentence_case, advice=advice, portal=portal_id, badges=badges)


def emit_names_held(sentence: str, *, badges: int) -> None:
    _send(NAMES_HELD, _LEDGER, f"{sentence}.", advice=f"{HELD_NAMES_ADVICE}.", badges=badges)


def emit_unclaimed(portal_id: str, *, badges: int, until_day: date) -> None:
    sentence = f"{counted(badges, 'badge')} of portal {portal_id}, issued until {until_day}, nobody has claimed."
    advice = "Remind the earners: they are in the view laurel_badges, and in an export of unclaimed."
    resource, day = f"laurel.portal.{portal_id}", str(until_day)
    _send(BADGES_UNCLAIMED, resource, sentence, advice=advice, portal=portal_id, badges=badges, until_day=day)


def thresholds_of(configured: Settings) -> AlertThresholds:
    return AlertThresholds(
        failed_share=configured.alert_failed_share,
        backlog_runs=configured.alert_backlog_runs,
        quiet_after=configured.alert_quiet_after,
        no_run_for=configured.alert_no_run_for,
    )


async def _findings(
    run: Run, total: RunSummary, stopped: Mapping[str, Reason], pending: Sequence[PendingCount]
) -> RunFindings:
    moment = run.now()
    issued_at = await run.database.read(last_issued)
    ending = await run.database.read(setting_up.tokens_ending, before=moment + WARN_BEFORE)
    # Paused, held and future badges are no backlog: they wait on purpose.
    blocked = sum(count for (state, _), count in total.open.items() if state is IssuanceState.BLOCKED)
    due = sum(each.count for each in pending if not each.stop and each.reason is not Reason.AWARDED_IN_FUTURE)
    return RunFindings(
        now=moment,
        issued=total.issued,
        failed=total.failed,
        backlog=due + blocked,
        stopped=stopped,
        tokens_ending={each.portal_id: each.ends_at for each in ending},
        last_issued=issued_at,
    )


def _emit_refused(total: RunSummary, issue_form: str) -> None:
    # The summary names a limited number of badges, which bounds the number of events.
    for (state, reason), names in total.named.items():
        if state is IssuanceState.FAILED:
            for each in names:
                _emit_badge(each, reason, issue_form)


def _emit_badge(each: IssuanceRef, reason: Reason, issue_form: str) -> None:
    sentence = f"Issuance {each.issuance_id} ({each.achievement_id} to {each.user_id}) was refused: {reason.sentence}"
    ids = {"issuance": each.issuance_id, "achievement": each.achievement_id, "user": each.user_id}
    _send(
        BADGE_REFUSED,
        f"laurel.issuance.{each.issuance_id}",
        sentence,
        advice=reason.advice,
        related=[{"prefect.resource.id": f"laurel.portal.{each.portal_id}", "prefect.resource.role": "portal"}],
        **ids,
        portal=each.portal_id,
        reason=reason.value,
        form=form_link(issue_form, **each.form_fields),
    )


def _emit(event: str, raised: Alert, *, badges: str = "") -> None:
    about = _RESOURCES.get(raised.kind)
    resource = f"{about}.{raised.subject}" if about else _LEDGER
    _send(event, resource, raised.sentence, advice=raised.kind.advice, badges=badges)


def _send(
    event: str,
    resource: str,
    sentence: str,
    *,
    advice: str = "",
    related: list[dict[str, str]] | None = None,
    **ids: Any,
) -> None:
    payload = {"sentence": sentence, "advice": advice, "run": _run_url(), **ids}
    emit_event(event, resource={"prefect.resource.id": resource}, related=related, payload=payload)


def _run_url() -> str:
    return url_for("flow-run", obj_id=str(flow_run.id)) or str(flow_run.id)


async def _save(run: Run, alerts: RunAlerts, *, words: str) -> None:
    found, keys = alerts.found, tuple(each.key for each in alerts.raised)
    health = RunHealth(at=found.now, issued=found.issued, failed=found.failed, backlog=found.backlog, alarms=keys)
    await run.database.write(run_log.keep_finding, health, flow_run_id=flow_run.id)
    rows = [_row(each) for each in (health, *alerts.earlier[: run_log.LATEST - 1])]
    await acreate_table_artifact(key=_ARTIFACT_KEY, table=rows, description=plain(words, longest=2000))


def _row(each: RunHealth) -> dict[str, str | int]:
    return {
        "at": each.at.isoformat(timespec="seconds"),
        "issued": each.issued,
        "failed": each.failed,
        "backlog": each.backlog,
        "alerts": ", ".join(map(alert_words, each.alarms)),
    }
