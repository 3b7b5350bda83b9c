"""The ledger: PostgreSQL, what happened, the truth."""
