-- What becomes of an import after its release: taken back, put back by a rewind, taken back again. One entry each, and
-- none of them forgotten: what was known when has to be answered.
CREATE TABLE import_turns (
    import bigint NOT NULL,
    seq    bigint NOT NULL UNIQUE,
    action smallint NOT NULL CHECK (action IN (3, 4)),      -- of each of its rows: withdrawn, in force again
    PRIMARY KEY (import, seq)
);
INSERT INTO import_turns (import, seq, action)
SELECT number, withdrawal_seq, 3 FROM imports WHERE release_seq IS NOT NULL AND withdrawal_seq IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON import_turns
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- The rewinds that put an import in doubt. Not a column of `imports`: a rewind holds the ledger's head, and whoever holds
-- a row there may be waiting for it.
CREATE TABLE import_reviews (
    import bigint NOT NULL,
    seq    bigint NOT NULL,
    PRIMARY KEY (import, seq)
);

CREATE OR REPLACE VIEW effects AS
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
    SELECT r.doc_key, t.seq, r.ordinal, t.action, i.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL
      FROM import_covers r JOIN imports i ON i.number = r.import JOIN import_turns t ON t.import = r.import
     WHERE i.release_seq IS NOT NULL;

ALTER TABLE imports DROP COLUMN withdrawal_seq;
