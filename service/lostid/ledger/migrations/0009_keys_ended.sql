-- API keys are loaded together with the entries that end them.
CREATE INDEX entries_ending_keys ON entries (seq)
    WHERE kind IN ('key.revoked', 'station.revoked', 'operator.revoked', 'operator.moved');
