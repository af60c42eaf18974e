"""Planning: reads awards and the ledger's rows in pages, and writes what has to change."""
