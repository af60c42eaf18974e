"""The MetaData of Laurel's own tables and views, filled: importing this module registers all of them."""

from models.analytics import views
from models.analytics.history_views import views_metadata
from models.base import laurel_metadata
from models.ledger import history, indexes
from models.ledger import tables as ledger
from models.operations import cursors, erasure, run_log
from models.operations import run_parts as parts
from models.planning import progress
from models.setup import calls, operator_runs, organizations, templates
from models.setup import history as settings_history
from models.setup import rate_limit as pace
from models.setup import tables as integrations

__all__ = [
    "calls",
    "cursors",
    "erasure",
    "history",
    "indexes",
    "integrations",
    "laurel_metadata",
    "ledger",
    "operator_runs",
    "organizations",
    "pace",
    "parts",
    "progress",
    "run_log",
    "settings_history",
    "templates",
    "views",
    "views_metadata",
]
