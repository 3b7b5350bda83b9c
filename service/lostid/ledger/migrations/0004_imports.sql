-- Imports: rows wait here, by document key, until their import is released. What a release or a withdrawal does stands
-- in entries and covers; these rows say where each import is.

CREATE TABLE imports (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text NOT NULL UNIQUE,
    seq        bigint NOT NULL,             -- of the entry that opened it
    env        text NOT NULL,
    org        text NOT NULL,
    station    text NOT NULL,
    operator   text NOT NULL,
    key_id     text NOT NULL,
    source     text NOT NULL,
    dry_run    boolean NOT NULL,
    declared   bytea,                       -- keyed hashes of SHA-256: a plain one gives a short file away
    received   bytea,
    state      text NOT NULL DEFAULT 'receiving',
    lines      bigint NOT NULL DEFAULT 0,
    accepted   bigint NOT NULL DEFAULT 0,
    rejected   bigint NOT NULL DEFAULT 0,
    done_line  bigint NOT NULL DEFAULT 0,   -- released up to this line
    done       bigint NOT NULL DEFAULT 0,   -- rows released
    back_line  bigint NOT NULL DEFAULT 0,   -- withdrawn up to this line
    back       bigint NOT NULL DEFAULT 0,   -- rows withdrawn
    created_ms    bigint NOT NULL,
    released_by   jsonb,
    release_ms    bigint,
    alone         boolean NOT NULL DEFAULT false,   -- released by whoever imported it
    asked_by      jsonb,                            -- who asked that it be withdrawn
    withdrawn_by  jsonb
) WITH (fillfactor = 50);
CREATE INDEX imports_running ON imports (number) WHERE state IN ('releasing', 'withdrawing');
CREATE INDEX imports_alone ON imports (env, org, operator, release_ms) WHERE alone;

-- One row for each line with something on it: accepted, or rejected with a code. Never a number.
CREATE TABLE import_rows (
    import      bigint NOT NULL,
    line        bigint NOT NULL,
    print       bytea NOT NULL,             -- a keyed hash of the line, to know it again
    code        text,
    field       text,
    effects     text,                       -- as they will stand in the body of an entry
    sealed      bytea,                      -- document keys and their sealed tokens, 60 bytes each
    case_number text,
    PRIMARY KEY (import, line)
);
CREATE INDEX import_rows_rejected ON import_rows (import, line) WHERE code IS NOT NULL;
