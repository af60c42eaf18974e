"""the log tables as views.

Later changes of a column that a view shows drop the views first and create them again; models/analytics/views.py has them as
they are now, this file as they were.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

VIEWS = ("laurel_issuances", "laurel_attempts", "laurel_runs")

_SECONDS = {
    "sqlite": "CAST(strftime('%s', substr({0}, 1, 19)) AS INTEGER)",
    "postgresql": "CAST(floor(extract(epoch FROM {0})) AS BIGINT)",
}

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
    a.request_id, a.request_fingerprint, a.field_names, a.flow_run_id, a.task_run_id
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


def upgrade() -> None:
    seconds = _SECONDS[op.get_context().dialect.name]
    moments = {"recorded": seconds.format("recorded_at"), "awarded": seconds.format("awarded_at")}
    for statement in (_ISSUANCES.format(**moments), _ATTEMPTS, _RUNS):
        op.execute(statement)


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
