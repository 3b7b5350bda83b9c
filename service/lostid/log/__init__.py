"""The Merkle log over the ledger's entries: trees, tiles, notes, checkpoints, receipts (pure but for storage)."""
