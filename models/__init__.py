"""What is stored. Importing this package fills both MetaData."""

from models import calls, integrations, ledger, pace, parts, platform, progress, views

__all__ = ["calls", "integrations", "ledger", "pace", "parts", "platform", "progress", "views"]
