"""The SQL views of the ledger, and the counts that reports and analysts read."""
