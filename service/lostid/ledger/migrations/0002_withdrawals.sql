-- Withdrawals by two. What they do stands in entries and covers; these rows say where each of them is.

CREATE TABLE withdrawals (
    id          text PRIMARY KEY,
    seq         bigint NOT NULL,        -- of its request
    kind        text NOT NULL,          -- withdrawal, rewind
    env         text NOT NULL,
    org         text NOT NULL,          -- who asked
    station     text NOT NULL,
    operator    text NOT NULL,
    key_id      text NOT NULL,
    report_id   text,
    doc_keys    bytea[] NOT NULL,       -- the documents it is bound to
    grounds     text NOT NULL,
    evidence    text NOT NULL,
    apart       boolean NOT NULL,       -- counted under the cap of found cards
    target      text,                   -- a rewind: whose acts
    since_ms    bigint,                 -- and from when on
    asked_ms    bigint NOT NULL,
    expires_ms  bigint NOT NULL,
    state       text NOT NULL DEFAULT 'awaiting_approval',
    decided_seq bigint,
    decided_ms  bigint,
    decided_org      text,
    decided_operator text
);
CREATE INDEX withdrawals_pending ON withdrawals (env, seq) WHERE state = 'awaiting_approval';
CREATE INDEX withdrawals_org ON withdrawals (env, org, seq);
CREATE INDEX withdrawals_operator ON withdrawals (env, org, operator, asked_ms);
CREATE INDEX withdrawals_report ON withdrawals (report_id);

-- Entries that speak of a report without an effect on its documents: requests, refusals, attempts.
CREATE TABLE report_lines (
    report_id text NOT NULL,
    seq       bigint NOT NULL,
    PRIMARY KEY (report_id, seq)
);

-- Refused attempts, so that one key cannot fill the ledger with them.
CREATE TABLE attempts (
    key_id text NOT NULL,
    at_ms  bigint NOT NULL,
    seq    bigint NOT NULL,
    PRIMARY KEY (key_id, at_ms, seq)
);

ALTER TABLE reports ADD COLUMN review_seq bigint;       -- the rewind that marked it
CREATE INDEX reports_operator ON reports (env, org, operator, recorded_ms);
