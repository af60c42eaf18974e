"""What is stored. Importing this package fills both MetaData."""

from models import calls, integrations, operator_runs, organizations, pace, parts, run_log, settings_history, views
from models.ledger import erasure, history
from models.ledger import tables as ledger
from models.planning import progress
from models.platform import tables

__all__ = [
    "calls",
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
    "views",
]
