"""Which document keys have no record: one Bloom filter per host. It may only clear, never convict."""
