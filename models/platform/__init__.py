"""The learning platform as Laurel reads it: apart from the ledger, in pages and by key."""
