-- The Merkle log over the entries: leaf (index = seq - 1), tiles, checkpoints. Everything here can be shown to anybody;
-- only the salts tie a leaf to its entry, and they can be deleted without changing the tree.

CREATE TABLE log_leaves (
    seq  bigint PRIMARY KEY,
    leaf bytea NOT NULL,
    salt bytea CHECK (octet_length(salt) = 32)
);

CREATE TABLE log_tiles (
    level  integer NOT NULL,
    place  bigint NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) % 32 = 0 AND octet_length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (level, place)
);

CREATE TABLE log_checkpoints (
    size      bigint PRIMARY KEY,
    root      bytea NOT NULL CHECK (octet_length(root) = 32),
    note      text NOT NULL,
    signed_ms bigint NOT NULL
);

-- What did not match when it was looked at again. While one is open nothing is signed.
CREATE TABLE log_alarms (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq        bigint NOT NULL,
    what       text NOT NULL,
    raised_at  timestamptz NOT NULL DEFAULT now(),
    cleared_at timestamptz
);
CREATE UNIQUE INDEX log_alarms_open ON log_alarms (seq, what) WHERE cleared_at IS NULL;

-- Public halves of every key that ever signed: receipts verify for ever.
CREATE TABLE signing_keys (
    kid      text PRIMARY KEY,
    public   bytea NOT NULL CHECK (octet_length(public) = 32),
    added_at timestamptz NOT NULL DEFAULT now()
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_checkpoints EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON signing_keys EXECUTE FUNCTION append_only();
