"""What is stored. Importing this package fills both MetaData."""

from models import calls, integrations, pace, parts, views
from models.ledger import tables as ledger
from models.planning import progress
from models.platform import tables

__all__ = ["calls", "integrations", "ledger", "pace", "parts", "progress", "tables", "views"]
