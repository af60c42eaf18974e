"""Events of what is wrong and what is well again; automations turn them into messages. Ids only."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import acreate_table_artifact
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from models import run_log, setting_up
from models.standing import last_issued
from rules.alarms import (
    BADGE_REFUSED,
    RECONCILED,
    REVOKING_HELD,
    RUNS_RESUMED,
    Alarm,
    Found,
    Health,
    Limits,
    Raised,
    alarms,
    over,
    slept,
)
from rules.markup import plain
from rules.reasons import Reason
from rules.run_page import Pending
from rules.run_summary import Named, RunSummary
from rules.states import IssuanceState
from rules.told import counted
from settings import Settings
from tasks.runtime.run import Run
from tasks.token_end import WARN_BEFORE

KEY = "health"
_LEDGER = "laurel.ledger"
_RESOURCES = {Alarm.ORGANIZATION_STOPPED: "laurel.organization", Alarm.TOKEN_ENDS: "laurel.portal"}


async def emit_events(
    run: Run, total: RunSummary, stopped: Mapping[str, Reason], pending: Sequence[Pending], *, whole: bool
) -> None:
    """Emit events of refused badges, of what is wrong, and of what is well again since the run before.

    Args:
        total: what the run did and left.
        stopped: the organizations that got no further calls, and why.
        pending: what is pending after it.
        whole: whether it worked on everything; only then it is compared with earlier runs.
    """
    _emit_refused(total)
    worth = limits(run.settings)
    if not whole:
        for raised in alarms(Found(now=run.now(), issued=0, failed=0, backlog=0, stopped=stopped), (), limits=worth):
            _emit(raised.alarm.event, raised)
        return
    earlier = await run.database.read(run_log.earlier_findings)
    found = await _found(run, total, stopped, pending)
    raised_now = alarms(found, earlier, limits=worth)
    for raised in raised_now:
        _emit(raised.alarm.event, raised)
    for ended in over(raised_now, earlier):
        _emit(ended.alarm.over_event, ended)
    if (silence := slept(found, earlier, limits=worth)) is not None:
        minutes = counted(round(silence.total_seconds() / 60), "minute")
        _send(RUNS_RESUMED, _LEDGER, f"reconcile runs again, after {minutes} without a run.")
    await _keep(run, found, raised_now, earlier)


def emit_completed(sentence: str) -> None:
    """Emit the event that a run of reconcile has done its work: silence is measured from one to the next."""
    _send(RECONCILED, _LEDGER, sentence)


def emit_revoking_held(portal_id: str, sentence: str, *, advice: str, badges: int) -> None:
    """Emit the event that a portal's badges are not revoked until an operator has looked at them."""
    words = f"{sentence[:1].upper()}{sentence[1:]}."
    _send(REVOKING_HELD, f"laurel.portal.{portal_id}", words, advice=advice, portal=portal_id, badges=badges)


def limits(configured: Settings) -> Limits:
    """Return from the settings when something is worth an alarm."""
    return Limits(
        failed_share=configured.alert_failed_share,
        backlog_runs=configured.alert_backlog_runs,
        quiet_after=configured.alert_quiet_after,
        no_run_for=configured.alert_no_run_for,
    )


async def _found(run: Run, total: RunSummary, stopped: Mapping[str, Reason], pending: Sequence[Pending]) -> Found:
    moment = run.now()
    issued_at = await run.database.read(last_issued)
    ending = await run.database.read(setting_up.tokens_ending, before=moment + WARN_BEFORE)
    blocked = sum(count for (state, _), count in total.open.items() if state is IssuanceState.BLOCKED)
    due = sum(each.count for each in pending if not each.stop and each.reason is not Reason.AWARDED_IN_FUTURE)
    return Found(
        now=moment,
        issued=total.issued,
        failed=total.failed,
        backlog=due + blocked,
        stopped=stopped,
        tokens_ending=dict(ending),
        last_issued=issued_at,
    )


def _emit_refused(total: RunSummary) -> None:
    """One event for each refused badge, up to the number that the run keeps by their ids."""
    for (state, reason), names in total.named.items():
        if state is IssuanceState.FAILED:
            for each in names:
                _emit_badge(each, reason)


def _emit_badge(each: Named, reason: Reason) -> None:
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
    )


def _emit(event: str, raised: Raised) -> None:
    kind = _RESOURCES.get(raised.alarm)
    resource = f"{kind}.{raised.subject}" if kind else _LEDGER
    _send(event, resource, raised.sentence, advice=raised.alarm.advice)


def _send(
    event: str,
    resource: str,
    sentence: str,
    *,
    advice: str = "",
    related: list[dict[str, str]] | None = None,
    **ids: Any,
) -> None:
    payload = {"sentence": sentence, "advice": advice, "run": _address(), **ids}
    emit_event(event, resource={"prefect.resource.id": resource}, related=related, payload=payload)


def _address() -> str:
    return url_for("flow-run", obj_id=str(flow_run.id)) or str(flow_run.id)


async def _keep(run: Run, found: Found, raised: Sequence[Raised], earlier: Sequence[Health]) -> None:
    alarms_now = tuple(each.key for each in raised)
    health = Health(at=found.now, issued=found.issued, failed=found.failed, backlog=found.backlog, alarms=alarms_now)
    await run.database.write(run_log.keep_finding, health, flow_run_id=flow_run.id)
    rows = [_row(each) for each in (health, *earlier[: run_log.LATEST - 1])]
    words = "; ".join(each.sentence for each in raised) or "Nothing is wrong."
    await acreate_table_artifact(key=KEY, table=rows, description=plain(words, longest=2000))


def _row(each: Health) -> dict[str, str | int]:
    return {
        "at": each.at.isoformat(timespec="seconds"),
        "issued": each.issued,
        "failed": each.failed,
        "backlog": each.backlog,
        "alarms": ", ".join(each.alarms),
    }
