"""The ledger: its tables, the transitions of its rows, and their history."""
