"""Planning: which awards are looked at, what the ledger has of them, and what is written."""
