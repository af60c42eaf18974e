"""What is stored. Importing this package fills both MetaData."""

from models import integrations, ledger, pace, parts, platform, progress, views

__all__ = ["integrations", "ledger", "pace", "parts", "platform", "progress", "views"]
