-- An import comes into force, and goes, as a whole: its rows wait by document key, and one small entry each says that
-- they count from here on, or no longer. No release has written the tables that this replaces.

DO $$ BEGIN
    IF EXISTS (SELECT FROM imports WHERE done > 0) THEN
        RAISE EXCEPTION 'this ledger holds imports of a version that was never released';
    END IF;
END $$;

DROP TABLE import_rows;
DROP INDEX imports_running;
ALTER TABLE imports
    DROP COLUMN done_line, DROP COLUMN done, DROP COLUMN back_line, DROP COLUMN back,
    ADD COLUMN staged         bigint NOT NULL DEFAULT 0,    -- rows of 48 bytes: a line has one or more
    ADD COLUMN digest         bytea,                        -- of the rows; set once all of them are here
    ADD COLUMN release_seq    bigint,                       -- the entry that put them in force
    ADD COLUMN withdrawal_seq bigint,                       -- and the one that took them back
    ADD COLUMN cleared        boolean NOT NULL DEFAULT false;
CREATE INDEX imports_to_stage ON imports (number) WHERE state = 'received';
CREATE INDEX imports_to_clear ON imports (number) WHERE state = 'withdrawn' AND release_seq IS NULL AND NOT cleared;

-- What a file said, PART_LINES lines of it in a row here (domain/staged.py): hosts and relays read it from here.
CREATE TABLE import_parts (
    import   bigint NOT NULL,
    part     integer NOT NULL,
    lines    integer NOT NULL,
    accepted integer NOT NULL,
    prints   bytea NOT NULL,        -- a keyed hash of each line, to know it again
    rows     bytea NOT NULL,        -- 48 bytes for each effect, in the order of the lines
    digest   bytea NOT NULL CHECK (octet_length(digest) = 32),
    sealed   bytea NOT NULL,        -- document keys and their sealed tokens, 60 bytes each
    cases    text NOT NULL,         -- the case numbers of the accepted lines, one in a line
    PRIMARY KEY (import, part)
);
-- Keyed hashes and ciphertext do not get smaller.
ALTER TABLE import_parts ALTER prints SET STORAGE EXTERNAL, ALTER rows SET STORAGE EXTERNAL,
    ALTER sealed SET STORAGE EXTERNAL;

CREATE TABLE import_rejections (
    import bigint NOT NULL,
    line   bigint NOT NULL,
    code   text NOT NULL,
    field  text,
    PRIMARY KEY (import, line)
);

-- The same rows by document key, for the exact answer. `effect` is the rest of the 48 bytes.
CREATE TABLE import_covers (
    doc_key bytea NOT NULL CHECK (octet_length(doc_key) = 16),
    import  bigint NOT NULL,
    ordinal bigint NOT NULL,
    effect  bytea NOT NULL CHECK (octet_length(effect) = 24),
    PRIMARY KEY (doc_key, import, ordinal)
);

-- Which host has set the bits of which import, in the form in which the digest names it.
CREATE TABLE import_staged (
    import bigint NOT NULL,
    inc    bytea NOT NULL CHECK (octet_length(inc) = 16),
    digest bytea NOT NULL,
    PRIMARY KEY (import, inc)
);

-- What was put in force once stays: what was known when must be answered for as long as there is a ledger.
CREATE FUNCTION released_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM imports WHERE number = OLD.import AND release_seq IS NOT NULL) THEN
        RAISE EXCEPTION 'the rows of a released import are kept';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER released_is_kept BEFORE UPDATE OR DELETE ON import_parts FOR EACH ROW EXECUTE FUNCTION released_is_kept();
CREATE TRIGGER released_is_kept BEFORE UPDATE OR DELETE ON import_covers FOR EACH ROW EXECUTE FUNCTION released_is_kept();
CREATE TRIGGER append_only BEFORE TRUNCATE ON import_parts EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE TRUNCATE ON import_covers EXECUTE FUNCTION append_only();

CREATE FUNCTION int_at(raw bytea, first integer, bytes integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('x' || encode(substr(raw, first, bytes), 'hex'))::bit(64)::bigint >> (64 - 8 * bytes);

-- Every effect there is, as of which entry: those of reports and withdrawals, and the rows of imports as if each of
-- them stood in the entry that released its import, and was taken out by the one that withdrew it.
CREATE VIEW effects AS
    SELECT doc_key, seq, ordinal::bigint AS ordinal, action, report_id, kind, watermark, serial_tag, final, open_ended,
           reason, effective_ms
      FROM covers
     UNION ALL
    SELECT r.doc_key, i.release_seq, r.ordinal, get_byte(r.effect, 0)::smallint, i.id, get_byte(r.effect, 1)::smallint,
           CASE WHEN get_byte(r.effect, 2) & 4 > 0 THEN int_at(r.effect, 4, 4)::integer END,
           CASE WHEN get_byte(r.effect, 2) & 8 > 0 THEN substr(r.effect, 8, 8) END,
           get_byte(r.effect, 2) & 1 > 0, get_byte(r.effect, 2) & 2 > 0,
           ('{lost,stolen,found,seized,replaced,cancelled,deceased}'::text[])[get_byte(r.effect, 15) + 1],
           int_at(r.effect, 17, 8)
      FROM import_covers r JOIN imports i ON i.number = r.import
     WHERE i.release_seq IS NOT NULL
     UNION ALL
    SELECT r.doc_key, i.withdrawal_seq, r.ordinal, 3::smallint, i.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL
      FROM import_covers r JOIN imports i ON i.number = r.import
     WHERE i.release_seq IS NOT NULL AND i.withdrawal_seq IS NOT NULL;
