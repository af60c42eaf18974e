"""Connections, integrations and organizations, with the history of their settings, rate limits and calls."""
