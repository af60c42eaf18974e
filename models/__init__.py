"""What is stored. Importing this package fills both MetaData."""

from models import integrations, ledger, platform, progress, views

__all__ = ["integrations", "ledger", "platform", "progress", "views"]
