"""The log tables as SQL views, without names and addresses, the same on both databases.

They use Laurel's own tables only: a view on the platform's tables would prevent the platform from changing them.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    event,
    text,
)

from models.analytics.history_views import SECONDS, history_view_statements, views_metadata
from models.base import laurel_metadata
from models.columns import UtcDateTime, enum_by_value
from models.ledger.tables import AttemptKind, AttemptOutcome
from rules.ledger.reasons import Reason
from rules.ledger.states import IssuanceState, Origin

issuances = Table(
    "laurel_issuances",
    views_metadata,
    Column("issuance_id", BigInteger, primary_key=True),
    Column("portal_id", String),
    Column("achievement_id", String),
    Column("badge_template_id", String),
    Column("user_id", String),
    Column("award_id", String),
    Column("origin", enum_by_value(Origin, name="origin")),
    Column("state", enum_by_value(IssuanceState, name="state")),
    Column("reason", enum_by_value(Reason, name="reason")),
    Column("credly_message", String),
    Column("attempts", Integer),
    Column("awarded_at", UtcDateTime),
    Column("entered_at", UtcDateTime),
    Column("not_before", UtcDateTime),
    Column("changed_at", UtcDateTime),
    Column("recorded_at", UtcDateTime),
    Column("issued_at", UtcDateTime),
    Column("seconds_to_badge", BigInteger),
    Column("credly_badge_id", String),
    Column("adopted", Boolean),
    Column("credly_state", String),
    Column("audited_at", UtcDateTime),
    Column("claimed", Boolean),
    Column("company_id", String),
    Column("project_id", String),
    Column("evidence_sent", String),
    Column("evidence_left_out", String),
    Column("flow_run_id", String),
    Column("task_run_id", String),
)

attempts = Table(
    "laurel_attempts",
    views_metadata,
    Column("attempt_id", BigInteger, primary_key=True),
    Column("issuance_id", BigInteger),
    Column("portal_id", String),
    Column("achievement_id", String),
    Column("badge_template_id", String),
    Column("user_id", String),
    Column("kind", enum_by_value(AttemptKind, name="kind")),
    Column("outcome", enum_by_value(AttemptOutcome, name="outcome")),
    Column("started_at", UtcDateTime),
    Column("duration_ms", Integer),
    Column("status", Integer),
    Column("code", String),
    Column("credly_message", String),
    Column("request_id", String),
    Column("credly_request_id", String),
    Column("request_fingerprint", String),
    Column("field_names", String),
    Column("flow_run_id", String),
    Column("task_run_id", String),
)

runs = Table(
    "laurel_runs",
    views_metadata,
    Column("flow_run_id", String),
    Column("portal_id", String),
    Column("first_call_at", UtcDateTime),
    Column("last_call_at", UtcDateTime),
    Column("issuances", BigInteger),
    Column("calls", BigInteger),
    *(Column(outcome.value, BigInteger) for outcome in AttemptOutcome),
    Column("slowest_ms", Integer),
)

badges = Table(
    "laurel_badges",
    views_metadata,
    Column("issuance_id", BigInteger, primary_key=True),
    Column("portal_id", String),
    Column("achievement_id", String),
    Column("user_id", String),
    Column("badge_template_id", String),
    Column("state", enum_by_value(IssuanceState, name="state")),
    Column("recorded_at", UtcDateTime),
    Column("badge_url", String),
    Column("claim_state", String),
)

_ISSUANCES = """\
CREATE VIEW laurel_issuances AS
SELECT
    id AS issuance_id, portal_id, achievement_id, badge_template_id, user_id, award_id,
    origin, state, reason, credly_message, attempts,
    awarded_at, planned_at AS entered_at, not_before, updated_at AS changed_at, recorded_at, issued_at,
    CASE WHEN state = 'issued' AND recorded_at >= awarded_at
        THEN {recorded} - {awarded} END AS seconds_to_badge,
    credly_badge_id, adopted, credly_state, audited_at,
    CASE WHEN state = 'issued' AND audited_at >= recorded_at
        THEN coalesce(credly_state = 'accepted', false) END AS claimed,
    company_id, project_id, evidence_sent, evidence_left_out, flow_run_id, task_run_id
FROM badge_issuances"""

_ATTEMPTS = """\
CREATE VIEW laurel_attempts AS
SELECT
    a.id AS attempt_id, a.issuance_id, i.portal_id, i.achievement_id, i.badge_template_id, i.user_id,
    a.kind, a.outcome, a.started_at, a.duration_ms, a.status, a.code, a.credly_message,
    a.request_id, a.credly_request_id, a.request_fingerprint, a.field_names, a.flow_run_id, a.task_run_id
FROM issuance_attempts AS a
JOIN badge_issuances AS i ON i.id = a.issuance_id"""

_RUNS = """\
CREATE VIEW laurel_runs AS
SELECT
    a.flow_run_id, i.portal_id,
    min(a.started_at) AS first_call_at, max(a.started_at) AS last_call_at,
    count(DISTINCT a.issuance_id) AS issuances, count(*) AS calls,
    sum(CASE WHEN a.outcome = 'issued' THEN 1 ELSE 0 END) AS issued,
    sum(CASE WHEN a.outcome = 'found' THEN 1 ELSE 0 END) AS found,
    sum(CASE WHEN a.outcome = 'not_found' THEN 1 ELSE 0 END) AS not_found,
    sum(CASE WHEN a.outcome = 'refused' THEN 1 ELSE 0 END) AS refused,
    sum(CASE WHEN a.outcome = 'throttled' THEN 1 ELSE 0 END) AS throttled,
    sum(CASE WHEN a.outcome = 'not_sent' THEN 1 ELSE 0 END) AS not_sent,
    sum(CASE WHEN a.outcome = 'unclear' THEN 1 ELSE 0 END) AS unclear,
    sum(CASE WHEN a.outcome = 'not_connected' THEN 1 ELSE 0 END) AS not_connected,
    sum(CASE WHEN a.outcome = 'revoked' THEN 1 ELSE 0 END) AS revoked,
    max(a.duration_ms) AS slowest_ms
FROM issuance_attempts AS a
JOIN badge_issuances AS i ON i.id = a.issuance_id
GROUP BY a.flow_run_id, i.portal_id"""


# A new badge is pending at Credly until an event or the audit shows something else.
_BADGES = """\
CREATE VIEW laurel_badges AS
SELECT
    id AS issuance_id, portal_id, achievement_id, user_id, badge_template_id, state, recorded_at,
    CASE WHEN state = 'issued' THEN badge_url END AS badge_url,
    CASE WHEN state = 'issued' THEN CASE WHEN audited_at >= recorded_at
        THEN coalesce(credly_state, 'pending') ELSE 'pending' END END AS claim_state
FROM badge_issuances
WHERE former = false AND transition <> 'erase'"""


def view_statements(dialect: str) -> dict[str, str]:
    seconds = SECONDS[dialect]
    moments = {"recorded": seconds.format("recorded_at"), "awarded": seconds.format("awarded_at")}
    return {
        "laurel_issuances": _ISSUANCES.format(**moments),
        "laurel_attempts": _ATTEMPTS,
        "laurel_runs": _RUNS,
        "laurel_badges": _BADGES,
        **history_view_statements(dialect),
    }


def _create(metadata: MetaData, connection: Connection, **_options: object) -> None:
    _drop(metadata, connection)
    for statement in view_statements(connection.dialect.name).values():
        connection.execute(text(statement))


def _drop(_metadata: MetaData, connection: Connection, **_options: object) -> None:
    # Backwards, since PostgreSQL drops no view that another one reads.
    for name in reversed(view_statements(connection.dialect.name)):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))


event.listen(laurel_metadata, "after_create", _create)
event.listen(laurel_metadata, "before_drop", _drop)
