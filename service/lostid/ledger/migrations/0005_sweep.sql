-- The comparison of the registry in Redis with this ledger: how far it is, and what it found.

-- What the whole registry comes to at an entry, sealed under a key that PostgreSQL never sees.
CREATE TABLE registry_sweep (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq      bigint NOT NULL,
    hash     bytea NOT NULL CHECK (octet_length(hash) = 32),
    sealed   bytea NOT NULL,
    records  bigint NOT NULL,
    round_ms bigint NOT NULL,           -- how long the last round took
    swept_at timestamptz NOT NULL
) WITH (fillfactor = 10);

-- Records in Redis that were other than the ledger says. While one is open no answer rests on Redis.
CREATE TABLE registry_alarms (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place      bytea NOT NULL,          -- the first 12 bytes of the document key; empty: more than one record
    what       text NOT NULL,           -- deleted, extra, forged, rolled_back, bucket
    raised_at  timestamptz NOT NULL DEFAULT now(),
    cleared_at timestamptz
);
CREATE UNIQUE INDEX registry_alarms_open ON registry_alarms (place, what) WHERE cleared_at IS NULL;
