"""Which rows are read and which are counted: a period of days in UTC, a portal, an achievement and others."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case, func, literal_column, or_, true
from sqlalchemy.sql.functions import FunctionElement

from models.analytics.functions import utc_hour, utc_weekday
from rules.datasets import Group, Moment
from rules.forms.period import ALWAYS, Period
from rules.ledger.settings_changes import SettingsOf
from rules.ledger.states import IssuanceState

_PARTS: dict[Group, type[FunctionElement[str]]] = {Group.WEEKDAY: utc_weekday, Group.HOUR: utc_hour}


def how_many(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    """Return the number of a group's rows that meet the condition, 0 for no rows."""
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What rows and counts are restricted to; empty means all. `now` ends what has no end yet."""

    period: Period = ALWAYS
    portal_id: str = ""
    achievement_id: str = ""
    states: tuple[IssuanceState, ...] = ()
    now: datetime = field(default_factory=partial(datetime.now, UTC))

    def of(self, source: FromClause) -> ColumnElement[bool]:
        """Return the condition on the portal and achievement of a view's rows."""
        if "subject_id" not in source.c:
            ids = {"portal_id": self.portal_id, "achievement_id": self.achievement_id}
            return and_(true(), *(source.c[name] == wanted for name, wanted in ids.items() if wanted))
        wanted = {SettingsOf.CONNECTION: self.portal_id, SettingsOf.INTEGRATION: self.achievement_id}
        of = [
            and_(source.c.settings_of == kind, source.c.subject_id == subject)
            for kind, subject in wanted.items()
            if subject
        ]
        return or_(*of) if of else true()


@dataclass(frozen=True, kw_only=True)
class RowFilter(Filter):
    """Which rows. `moment`: which of an issuance's has to be in the period. `run`, `other_run`: ids of flow runs."""

    moment: Moment = Moment.ENTERED
    run: str = ""
    other_run: str = ""


@dataclass(frozen=True, kw_only=True)
class CountFilter(Filter):
    """What to count, and the columns to group by."""

    by: tuple[Group, ...] = ()

    def groups(self, source: FromClause, moment: ColumnElement[Any] | None = None) -> list[ColumnElement[Any]]:
        """Return the columns to group by. `moment` decides the weekday and the hour."""
        return [self._group(group, source, moment) for group in self.by]

    @staticmethod
    def _group(group: Group, source: FromClause, moment: ColumnElement[Any] | None) -> ColumnElement[Any]:
        if group in _PARTS:
            return _PARTS[group](moment).label(group.column)
        column = source.c[group.column]
        # A form in which no operator was given leaves an empty text, and no form at all NULL.
        return func.nullif(column, literal_column("''")).label(group.column) if group is Group.OPERATOR else column


def within(column: ColumnElement[Any], period: Period) -> ColumnElement[bool]:
    since: ColumnElement[bool] = column >= period.start if period.start else true()
    until: ColumnElement[bool] = column < period.end if period.end else true()
    return and_(since, until)
