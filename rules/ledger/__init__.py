"""The rules of the ledger: states, transitions, reasons, and what happens to an issuance next. Pure functions."""
