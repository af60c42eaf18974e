"""Which rows are read and which are counted: a period of days in UTC, a portal, an achievement and others."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, or_, true

from rules.datasets import Group, Moment
from rules.forms.period import ALWAYS, Period
from rules.ledger.settings_changes import SettingsOf
from rules.ledger.states import IssuanceState


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

    def groups(self, source: FromClause) -> list[ColumnElement[Any]]:
        return [source.c[group.column] for group in self.by]


def within(column: ColumnElement[Any], period: Period) -> ColumnElement[bool]:
    since: ColumnElement[bool] = column >= period.start if period.start else true()
    until: ColumnElement[bool] = column < period.end if period.end else true()
    return and_(since, until)
