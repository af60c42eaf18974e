"""Queries and writes of operations on the ledger: audit, retries, counts, retention, erasure."""
