"""The embedded engines: real PostgreSQL and real Valkey, as children of our own supervisor, in one data directory."""
