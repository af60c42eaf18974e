"""views over the history: states with their ends, and the settings in force."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_STATES = """\
CREATE VIEW laurel_states AS
SELECT
    h.id AS history_id, h.issuance_id, i.portal_id, i.achievement_id, i.user_id, h.badge_template_id,
    h.to_state AS state, h.reason, h.at AS began_at, n.at AS ended_at,
    CASE WHEN n.at < h.at THEN 0 ELSE {ended} - {began} END AS seconds,
    h.transition, h.flow_run_id, n.transition AS ended_by, n.flow_run_id AS ended_by_run_id,
    o.operator_id AS ended_by_operator_id, i.state AS state_now, h.reconstructed
FROM issuance_history AS h
JOIN badge_issuances AS i ON i.id = h.issuance_id
LEFT JOIN issuance_history AS n
    ON n.id = (SELECT min(x.id) FROM issuance_history AS x WHERE x.issuance_id = h.issuance_id AND x.id > h.id)
LEFT JOIN operator_runs AS o ON o.flow_run_id = n.flow_run_id"""

_SETTINGS = """\
CREATE VIEW laurel_settings AS
SELECT
    h.id AS settings_history_id, h.settings_of, h.subject_id, c.key AS setting, {value} AS value, h.at AS began_at,
    lead(h.at) OVER (PARTITION BY h.settings_of, h.subject_id, c.key ORDER BY h.id) AS ended_at,
    h.flow_run_id, o.operator_id, h.reconstructed
FROM settings_history AS h
CROSS JOIN {changes} AS c
LEFT JOIN operator_runs AS o ON o.flow_run_id = h.flow_run_id"""

_SENT_SETTINGS = """\
CREATE VIEW laurel_sent_settings AS
WITH sent AS (
    SELECT
        h.id AS history_id, h.issuance_id, i.portal_id, i.achievement_id, i.user_id,
        coalesce((
            SELECT max(a.started_at) FROM issuance_attempts AS a
            WHERE a.issuance_id = h.issuance_id AND a.kind IN ('issue', 'replace') AND a.started_at <= h.at
        ), h.at) AS sent_at
    FROM issuance_history AS h
    JOIN badge_issuances AS i ON i.id = h.issuance_id
    WHERE h.transition = 'issue'
)
SELECT
    b.history_id, b.issuance_id, b.portal_id, b.achievement_id, b.user_id, b.sent_at,
    s.settings_of, s.setting, s.value, s.began_at AS set_at, s.settings_history_id, s.flow_run_id, s.operator_id
FROM sent AS b
JOIN laurel_settings AS s ON s.subject_id = b.achievement_id AND s.settings_of = 'integration'
    AND s.value IS NOT NULL AND s.began_at <= b.sent_at AND (s.ended_at IS NULL OR b.sent_at < s.ended_at)
UNION ALL
SELECT
    b.history_id, b.issuance_id, b.portal_id, b.achievement_id, b.user_id, b.sent_at,
    s.settings_of, s.setting, s.value, s.began_at AS set_at, s.settings_history_id, s.flow_run_id, s.operator_id
FROM sent AS b
JOIN laurel_settings AS s ON s.subject_id = b.portal_id AND s.settings_of = 'connection'
    AND s.value IS NOT NULL AND s.began_at <= b.sent_at AND (s.ended_at IS NULL OR b.sent_at < s.ended_at)"""

_SECONDS = {
    "sqlite": "CAST(strftime('%s', substr({0}, 1, 19)) AS INTEGER)",  # whole: strftime rounds
    "postgresql": "CAST(floor(extract(epoch FROM {0})) AS BIGINT)",
}
_CHANGES = {"sqlite": "json_each(h.changes)", "postgresql": "LATERAL json_each(h.changes::json)"}
_VALUE = {
    "sqlite": "CASE json_type(c.value, '$[1]') WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
    " ELSE CAST(json_extract(c.value, '$[1]') AS TEXT) END",
    "postgresql": "c.value ->> 1",
}


def upgrade() -> None:
    """Create the views."""
    dialect = op.get_context().dialect.name
    seconds = _SECONDS[dialect]
    op.execute(_STATES.format(ended=seconds.format("n.at"), began=seconds.format("h.at")))
    op.execute(_SETTINGS.format(value=_VALUE[dialect], changes=_CHANGES[dialect]))
    op.execute(_SENT_SETTINGS)


def downgrade() -> None:
    """Drop the views."""
    for view in ("laurel_sent_settings", "laurel_settings", "laurel_states"):
        op.execute(f"DROP VIEW {view}")
