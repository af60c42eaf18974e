"""What a process loads: a run starts every few minutes, and an operator waits for a form."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SENDING = {"aiohttp", "credly.transport", "email_validator"}
OF_OTHER_DATABASES = {"psycopg", "pymysql", "duckdb", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql"}
OF_MIGRATIONS = {"alembic", "models.metadata"}
OF_REPORTS = {"pandas", "pyarrow", "altair", "jinja2", "openpyxl", "models.analytics.views", "reports.export"}
ISSUING = {"tasks.issuing.drain", "tasks.runtime.organization", "credly.client"}
PLANNING = {"models.planning.planner", "tasks.issuing.run_report", "rules.badge.request"}
NEVER = SENDING | OF_OTHER_DATABASES | OF_MIGRATIONS | OF_REPORTS | {"models.diagnostics.check", "prefect.server"}


@pytest.mark.parametrize(
    ("flow", "unneeded"),
    [("reconcile", ISSUING), ("pause_credly", ISSUING | PLANNING), ("issue_organization", {"models.planning.planner"})],
)
def test_a_flow_loads_no_more_than_it_needs(flow: str, unneeded: set[str]) -> None:
    script = f"import flows.{flow}, gc, sys\nprint(gc.get_freeze_count(), *sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    frozen, *loaded = done.stdout.split()
    assert int(frozen) > 0
    assert "models.database" in loaded
    assert sorted((NEVER | unneeded).intersection(loaded)) == []
