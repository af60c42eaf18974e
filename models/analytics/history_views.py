"""The views over the history of issuances and settings: transitions, states, and the settings in force."""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Boolean, Column, MetaData, String, Table

from models.columns import UtcDateTime, enum_by_value
from rules.ledger.reasons import Reason
from rules.ledger.settings_changes import SettingsAction, SettingsOf
from rules.ledger.states import IssuanceState
from rules.ledger.transitions import Transition

views_metadata = MetaData()


def _issuance() -> tuple[Column[str], ...]:
    return (Column("portal_id", String), Column("achievement_id", String), Column("user_id", String))


history = Table(
    "laurel_history",
    views_metadata,
    Column("history_id", BigInteger, primary_key=True),
    Column("issuance_id", BigInteger),
    *_issuance(),
    Column("badge_template_id", String),
    Column("at", UtcDateTime),
    Column("transition", enum_by_value(Transition, name="transition")),
    Column("from_state", enum_by_value(IssuanceState, name="from_state")),
    Column("to_state", enum_by_value(IssuanceState, name="to_state")),
    Column("reason", enum_by_value(Reason, name="reason")),
    Column("flow_run_id", String),
    Column("operator_id", String),
    Column("reconstructed", Boolean),
)

states = Table(
    "laurel_states",
    views_metadata,
    Column("history_id", BigInteger, primary_key=True),
    Column("issuance_id", BigInteger),
    *_issuance(),
    Column("badge_template_id", String),
    Column("state", enum_by_value(IssuanceState, name="state")),
    Column("reason", enum_by_value(Reason, name="reason")),
    Column("began_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("seconds", BigInteger),
    Column("transition", enum_by_value(Transition, name="transition")),
    Column("flow_run_id", String),
    Column("ended_by", enum_by_value(Transition, name="ended_by")),
    Column("ended_by_run_id", String),
    Column("ended_by_operator_id", String),
    Column("state_now", enum_by_value(IssuanceState, name="state_now")),
    Column("reconstructed", Boolean),
)

settings_history = Table(
    "laurel_settings_history",
    views_metadata,
    Column("settings_history_id", BigInteger, primary_key=True),
    Column("settings_of", enum_by_value(SettingsOf, name="settings_of")),
    Column("subject_id", String),
    Column("at", UtcDateTime),
    Column("action", enum_by_value(SettingsAction, name="action")),
    Column("changes", String),
    Column("flow_run_id", String),
    Column("operator_id", String),
    Column("reconstructed", Boolean),
)

settings = Table(
    "laurel_settings",
    views_metadata,
    Column("settings_history_id", BigInteger, primary_key=True),
    Column("settings_of", enum_by_value(SettingsOf, name="settings_of")),
    Column("subject_id", String),
    Column("setting", String, primary_key=True),
    Column("value", String),
    Column("began_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("flow_run_id", String),
    Column("operator_id", String),
    Column("reconstructed", Boolean),
)

sent_settings = Table(
    "laurel_sent_settings",
    views_metadata,
    Column("history_id", BigInteger, primary_key=True),
    Column("issuance_id", BigInteger),
    *_issuance(),
    Column("sent_at", UtcDateTime),
    Column("settings_of", enum_by_value(SettingsOf, name="settings_of")),
    Column("setting", String, primary_key=True),
    Column("value", String),
    Column("set_at", UtcDateTime),
    Column("settings_history_id", BigInteger),
    Column("flow_run_id", String),
    Column("operator_id", String),
)

_HISTORY = """\
CREATE VIEW laurel_history AS
SELECT
    h.id AS history_id, h.issuance_id, i.portal_id, i.achievement_id, i.user_id, h.badge_template_id,
    h.at, h.transition, h.from_state, h.to_state, h.reason, h.flow_run_id, o.operator_id, h.reconstructed
FROM issuance_history AS h
JOIN badge_issuances AS i ON i.id = h.issuance_id
LEFT JOIN operator_runs AS o ON o.flow_run_id = h.flow_run_id"""

# The next row by the index on the issuance, and not by a window function: no sort, and a filter is applied first.
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

_SETTINGS_HISTORY = """\
CREATE VIEW laurel_settings_history AS
SELECT
    h.id AS settings_history_id, h.settings_of, h.subject_id, h.at, h.action, h.changes,
    h.flow_run_id, o.operator_id, h.reconstructed
FROM settings_history AS h
LEFT JOIN operator_runs AS o ON o.flow_run_id = h.flow_run_id"""

_SETTINGS = """\
CREATE VIEW laurel_settings AS
SELECT
    h.id AS settings_history_id, h.settings_of, h.subject_id, c.key AS setting, {value} AS value, h.at AS began_at,
    lead(h.at) OVER (PARTITION BY h.settings_of, h.subject_id, c.key ORDER BY h.id) AS ended_at,
    h.flow_run_id, o.operator_id, h.reconstructed
FROM settings_history AS h
CROSS JOIN {changes} AS c
LEFT JOIN operator_runs AS o ON o.flow_run_id = h.flow_run_id"""

# Joined once for each kind of settings: with one condition for both, no database would use a hash join.
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

SECONDS = {
    "sqlite": "CAST(strftime('%s', substr({0}, 1, 19)) AS INTEGER)",  # whole: strftime rounds
    "postgresql": "CAST(floor(extract(epoch FROM {0})) AS BIGINT)",
}
_CHANGES = {"sqlite": "json_each(h.changes)", "postgresql": "LATERAL json_each(h.changes::json)"}
_VALUE = {
    "sqlite": "CASE json_type(c.value, '$[1]') WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
    " ELSE CAST(json_extract(c.value, '$[1]') AS TEXT) END",
    "postgresql": "c.value ->> 1",
}


def history_view_statements(dialect: str) -> Mapping[str, str]:
    seconds = SECONDS[dialect]
    return {
        "laurel_history": _HISTORY,
        "laurel_states": _STATES.format(ended=seconds.format("n.at"), began=seconds.format("h.at")),
        "laurel_settings_history": _SETTINGS_HISTORY,
        "laurel_settings": _SETTINGS.format(value=_VALUE[dialect], changes=_CHANGES[dialect]),
        "laurel_sent_settings": _SENT_SETTINGS,
    }
