-- The log's process reads effects by entry: each turn read the whole table, and at 100 million rows never came to an end.
-- Rows lie in the order of their entries, so the least and the greatest of every 32 pages will do.
CREATE INDEX covers_seq ON covers USING brin (seq) WITH (pages_per_range = 32, autosummarize = on);
