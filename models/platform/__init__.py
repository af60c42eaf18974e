"""The learning platform's tables, read in pages and by key, without the ledger."""
