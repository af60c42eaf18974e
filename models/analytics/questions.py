"""Questions whose answer is a list of rows, each as one query. docs/how-to/run-history.md has the questions."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    not_,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.sql.selectable import SelectBase

from models.analytics import history_views, views
from models.analytics.filters import RowFilter, within
from models.analytics.functions import whole_seconds
from models.ledger.history import IssuanceTransition
from models.operations.run_log import RunFinding, RunOrganization
from models.tables import table
from rules.datasets import Dataset
from rules.forms.inputs import InvalidInput
from rules.ledger.reasons import Reason
from rules.ledger.settings_changes import SettingsAction, SettingsOf
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition
from rules.markdown import code

UNCLAIMED_AFTER = timedelta(days=30)
SLOWEST_SHOWN = 1_000
history, states, settings = history_views.history, history_views.states, history_views.settings_history
issuances = views.issuances
transitions, organizations, findings = table(IssuanceTransition), table(RunOrganization), table(RunFinding)


def unclaimed(_connection: Connection, chosen: RowFilter) -> Select[Any]:
    """Return the badges of the period that are not claimed, or not read; without its end, those of 30 days and more."""
    old_enough = true() if chosen.period.last else issuances.c.recorded_at <= chosen.now - UNCLAIMED_AFTER
    age = int(chosen.now.timestamp()) - whole_seconds(issuances.c.recorded_at)
    names = ("issuance_id", "portal_id", "achievement_id", "badge_template_id", "user_id", "recorded_at")
    rest = ("claimed", "credly_state", "audited_at", "credly_badge_id")
    return select(
        *(issuances.c[name] for name in names),
        cast(age / 86_400, Integer).label("days"),
        *(issuances.c[name] for name in rest),
    ).where(
        issuances.c.state == IssuanceState.ISSUED,
        old_enough,
        or_(issuances.c.claimed.is_(None), issuances.c.credly_state == "pending"),
        within(issuances.c.recorded_at, chosen.period),
        chosen.of(issuances),
    )


def slowest(_connection: Connection, chosen: RowFilter) -> Select[Any]:
    """Return the slowest badges of the period, and how long each was failed, blocked or pending meanwhile."""
    names = ("issuance_id", "portal_id", "achievement_id", "badge_template_id", "user_id")
    moments = ("awarded_at", "entered_at", "recorded_at")
    seconds = issuances.c.seconds_to_badge
    top = (
        select(*(issuances.c[name] for name in (*names, "seconds_to_badge", *moments)))
        .where(seconds.is_not(None), within(issuances.c.recorded_at, chosen.period), chosen.of(issuances))
        .order_by(seconds.desc(), issuances.c.issuance_id)
        .limit(SLOWEST_SHOWN)
        .subquery()
    )
    mine = and_(states.c.issuance_id == top.c.issuance_id, states.c.ended_at <= top.c.recorded_at)
    waited = [
        select(func.coalesce(func.sum(states.c.seconds), 0))
        .where(mine, states.c.state == state)
        .scalar_subquery()
        .label(f"{state}_seconds")
        for state in (IssuanceState.FAILED, IssuanceState.BLOCKED, IssuanceState.PENDING)
    ]
    longest = select(_text(states.c.reason)).where(mine, states.c.reason.is_not(None))
    reason = longest.order_by(states.c.seconds.desc(), states.c.history_id).limit(1).scalar_subquery()
    place = func.row_number().over(order_by=(top.c.seconds_to_badge.desc(), top.c.issuance_id)).label("place")
    return select(place, *top.c, reason.label("reason"), *waited)


def settings_effects(_connection: Connection, chosen: RowFilter) -> SelectBase:
    """Return the transitions that changes of settings caused: of such kinds, and before the next change."""
    next_at = func.lead(settings.c.at).over(
        partition_by=(settings.c.settings_of, settings.c.subject_id), order_by=settings.c.settings_history_id
    )
    changes = select(*settings.c, next_at.label("next_at")).where(chosen.of(settings)).subquery()
    # A join for each kind of settings: with one condition for both, no database would use a hash join.
    subjects = {SettingsOf.INTEGRATION: history.c.achievement_id, SettingsOf.CONNECTION: history.c.portal_id}
    return union_all(*(_effects(changes, chosen, kind, subject) for kind, subject in subjects.items()))


def _effects(changes: Any, chosen: RowFilter, kind: SettingsOf, subject: Any) -> Select[Any]:
    resumed = changes.c.action.in_((SettingsAction.RESUMED, SettingsAction.RELEASED))
    causes = (
        history.c.flow_run_id == changes.c.flow_run_id,
        and_(history.c.from_state.is_(None), issuances.c.awarded_at < changes.c.at),
        and_(history.c.transition == Transition.ISSUE, resumed, issuances.c.entered_at < changes.c.at),
        history.c.transition.in_((Transition.UNBLOCK, Transition.REVIVE, Transition.CHANGE_TEMPLATE)),
        history.c.reason.in_((Reason.INTEGRATION_REMOVED, Reason.PORTAL_NOT_CONNECTED)),
    )
    badge = ("history_id", "issuance_id", "portal_id", "achievement_id", "user_id", "at")
    return (
        select(
            changes.c.settings_history_id,
            changes.c.at.label("changed_at"),
            *(_text(changes.c[name]) for name in ("settings_of", "subject_id", "action", "changes")),
            changes.c.flow_run_id,
            changes.c.operator_id,
            *(history.c[name] for name in badge),
            *(_text(history.c[name]) for name in ("transition", "to_state", "reason")),
            _text(issuances.c.state).label("state_now"),
        )
        .join_from(changes, history, subject == changes.c.subject_id)
        .join(issuances, issuances.c.issuance_id == history.c.issuance_id)
        .where(
            changes.c.settings_of == kind,
            within(changes.c.at, chosen.period),
            history.c.at >= changes.c.at,
            or_(changes.c.next_at.is_(None), history.c.at < changes.c.next_at),
            or_(*causes),
        )
    )


def between_runs(connection: Connection, chosen: RowFilter) -> SelectBase:
    """Return the transitions and changes of settings after the end of the earlier run, up to the end of the later.

    Raises:
        InvalidInput: a run is missing, or the ledger has nothing of it.
    """
    since, until = sorted((_end_of(connection, chosen.run, "run"), _end_of(connection, chosen.other_run, "other_run")))
    own = ("at", "transition", "history_id", "issuance_id", "portal_id", "achievement_id", "user_id")
    badges = select(
        *(_text(history.c[name]) if name == "transition" else history.c[name] for name in own),
        *(_text(history.c[name]) for name in ("from_state", "to_state", "reason")),
        null().label("changes"),
        history.c.flow_run_id,
        history.c.operator_id,
    ).where(history.c.at > since, history.c.at <= until, chosen.of(history))
    of_connection = settings.c.settings_of == SettingsOf.CONNECTION
    changed = select(
        settings.c.at,
        _text(settings.c.action),
        *(cast(null(), history.c[name].type) for name in ("history_id", "issuance_id")),
        case((of_connection, settings.c.subject_id)),
        case((not_(of_connection), settings.c.subject_id)),
        *(cast(null(), String) for _ in ("user_id", "from_state", "to_state", "reason")),
        settings.c.changes,
        settings.c.flow_run_id,
        settings.c.operator_id,
    ).where(settings.c.at > since, settings.c.at <= until, chosen.of(settings))
    return union_all(badges, changed)


def runs_of(connection: Connection, run: str, field: str) -> list[str]:
    """Return the id, with those of the runs that it started for organizations.

    Raises:
        InvalidInput: it is empty.
    """
    if not run:
        raise InvalidInput(f"{field}: give the id of a flow run; it is the last part of its page's address.")
    started = select(organizations.c.flow_run_id).where(organizations.c.started_by == run)
    return [run, *connection.execute(started).scalars()]


def _end_of(connection: Connection, run: str, field: str) -> datetime:
    ids = runs_of(connection, run, field)
    ended = func.coalesce(organizations.c.ended_at, organizations.c.begun_at)
    moments = (
        select(func.max(transitions.c.at)).where(transitions.c.flow_run_id.in_(ids)),
        select(type_coerce(func.max(ended), organizations.c.begun_at.type)).where(organizations.c.flow_run_id.in_(ids)),
        select(func.max(findings.c.at)).where(findings.c.flow_run_id.in_(ids)),
    )
    found: list[datetime] = [moment for query in moments if (moment := connection.scalar(query)) is not None]
    if not found:
        raise unknown_run(run, field)
    return max(found)


def unknown_run(run: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"{field}: the ledger has nothing of a flow run {code(run)}. Give the id of a run that issued or changed "
        "something, such as reconcile; it is the last part of its page's address."
    )


def _text(column: Any) -> Any:
    return type_coerce(column, String).label(column.name)


QUESTIONS: dict[Dataset, Callable[[Connection, RowFilter], SelectBase]] = {
    Dataset.UNCLAIMED: unclaimed,
    Dataset.SLOWEST: slowest,
    Dataset.SETTINGS_EFFECTS: settings_effects,
    Dataset.BETWEEN_RUNS: between_runs,
}
