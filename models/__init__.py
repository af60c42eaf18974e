"""What is read and written: the platform, the ledger, planning, setup, operations, analytics."""
