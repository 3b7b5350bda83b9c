-- The ledger, version 1. Document numbers stand nowhere here: only document keys, and tokens sealed under a key that
-- PostgreSQL never sees.

CREATE TABLE meta (
    single         boolean PRIMARY KEY DEFAULT true CHECK (single),
    schema_version integer NOT NULL,
    ledger_id      uuid NOT NULL DEFAULT gen_random_uuid(),
    key_checks     jsonb,               -- keyed check values of the secrets this ledger belongs to; null until first boot
    created_at     timestamptz NOT NULL DEFAULT now()
);
INSERT INTO meta (schema_version) VALUES (0);

-- Not a setting: every part of every host counts with the same two numbers.
CREATE TABLE lease (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    l_r_ms integer NOT NULL,
    l_w_ms integer NOT NULL
);
INSERT INTO lease (l_r_ms, l_w_ms) VALUES (1000, 1500);

-- The lock on this row is the order of the ledger. One row that changes all the time: room for its versions on the page.
CREATE TABLE head (
    single      boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq         bigint NOT NULL,
    prev        bytea NOT NULL,
    hash        bytea NOT NULL,
    recorded_ms bigint NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE entries (
    seq         bigint PRIMARY KEY,
    prev        bytea NOT NULL CHECK (octet_length(prev) = 32),
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32),
    recorded_ms bigint NOT NULL,
    kind        text NOT NULL,
    id          text NOT NULL,
    body        bytea NOT NULL
);

-- Made from the entries' bodies, never changed, never deleted.
CREATE TABLE covers (
    doc_key      bytea NOT NULL CHECK (octet_length(doc_key) = 16),
    seq          bigint NOT NULL,
    ordinal      integer NOT NULL,
    action       smallint NOT NULL,
    report_id    text NOT NULL,
    kind         smallint,
    watermark    integer,
    serial_tag   bytea CHECK (octet_length(serial_tag) = 8),
    final        boolean,
    open_ended   boolean,
    reason       text,
    effective_ms bigint,
    PRIMARY KEY (doc_key, seq, ordinal)
);

-- Against slips. Who may switch triggers off is found out by the chain and by whoever keeps a checkpoint.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON covers EXECUTE FUNCTION append_only();

CREATE TABLE reports (
    id            text PRIMARY KEY,
    seq           bigint NOT NULL,
    env           text NOT NULL,
    org           text NOT NULL,
    station       text NOT NULL,
    operator      text NOT NULL,
    key_id        text NOT NULL,
    type          text NOT NULL,
    case_number   text NOT NULL,
    reason        text NOT NULL,
    effective_ms  bigint NOT NULL,
    covers        jsonb NOT NULL,
    recorded_ms   bigint NOT NULL,
    in_force_ms   bigint,
    visibility    jsonb,
    withdrawn_seq bigint
) WITH (fillfactor = 80);
CREATE INDEX reports_seq ON reports (seq);
CREATE INDEX reports_case ON reports (env, org, case_number, seq, id);
CREATE INDEX reports_unsettled ON reports (seq) WHERE in_force_ms IS NULL;

CREATE TABLE sealed_tokens (
    doc_key bytea PRIMARY KEY CHECK (octet_length(doc_key) = 16),
    sealed  bytea NOT NULL
);

CREATE TABLE writes (
    env         text NOT NULL,
    org         text NOT NULL,
    idem_key    bytea NOT NULL,          -- a keyed hash of the caller's Idempotency-Key
    fingerprint bytea NOT NULL,          -- a keyed hash of the request
    seq         bigint NOT NULL,
    status      integer,
    answer      bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT writes_pkey PRIMARY KEY (env, org, idem_key)
) WITH (fillfactor = 80);
CREATE INDEX writes_created ON writes USING brin (created_at);

CREATE TABLE hosts (
    inc bytea PRIMARY KEY CHECK (octet_length(inc) = 16),
    n   bigint NOT NULL,
    seq bigint NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE api_keys (
    id            text PRIMARY KEY,
    slot          integer GENERATED ALWAYS AS IDENTITY (MINVALUE 0 START 0) UNIQUE,
    secret_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(secret_sha256) = 32),
    env           text NOT NULL,
    org           text NOT NULL,
    station       text,
    operator      text,
    roles         text[] NOT NULL,
    purposes      text[] NOT NULL,
    reasons       text[] NOT NULL,
    rate          integer,
    created_seq   bigint NOT NULL,
    revoked_seq   bigint
);

-- Which documents an operator has looked up on a day, for the daily limit.
CREATE TABLE lookups (
    env      text NOT NULL,
    org      text NOT NULL,
    operator text NOT NULL,
    day      date NOT NULL,
    keys     bytea[] NOT NULL,
    PRIMARY KEY (env, org, operator, day)
);

CREATE TABLE journal (
    at        timestamptz NOT NULL,
    item      integer NOT NULL,
    seq       bigint NOT NULL,
    doc_key   bytea,
    id        text NOT NULL,
    key_id    text NOT NULL,
    org       text NOT NULL,
    operator  text NOT NULL,
    purpose   text NOT NULL,
    status    text NOT NULL,
    reference text
) PARTITION BY RANGE (at);
CREATE INDEX journal_document ON journal (doc_key, at);

-- Partitions are attached and not made in place: ATTACH lets the writers and readers of the journal go on.
CREATE FUNCTION journal_ahead(days integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day   date;
    part  text;
    made  integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('lostid.journal', 0));
    FOR day IN SELECT generate_series(today - 1, today + days, interval '1 day')::date LOOP
        part := 'journal_' || to_char(day, 'YYYYMMDD');
        -- Not to_regclass: after a wait for the lock that may still answer from this session's cache of names.
        CONTINUE WHEN EXISTS (SELECT FROM pg_class WHERE relname = part AND pg_table_is_visible(oid));
        EXECUTE format('CREATE TABLE %I (LIKE journal INCLUDING ALL)', part);
        EXECUTE format('ALTER TABLE journal ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       part, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION journal_drop(before date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    part    text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('lostid.journal', 0));
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'journal'::regclass AND c.relname < 'journal_' || to_char(before, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', part);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
