"""All tables and statements. Importing this package registers every table in its MetaData."""

from models.analytics import views
from models.ledger import history
from models.ledger import tables as ledger
from models.operations import cursors, erasure, run_log
from models.operations import run_parts as parts
from models.planning import progress
from models.platform import tables
from models.setup import calls, operator_runs, organizations, templates
from models.setup import history as settings_history
from models.setup import rate_limit as pace
from models.setup import tables as integrations

__all__ = [
    "calls",
    "cursors",
    "erasure",
    "history",
    "integrations",
    "ledger",
    "operator_runs",
    "organizations",
    "pace",
    "parts",
    "progress",
    "run_log",
    "settings_history",
    "tables",
    "templates",
    "views",
]
