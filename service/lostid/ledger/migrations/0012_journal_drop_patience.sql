-- The journal's writers have a transaction open nearly all the time. One that is stopped in the middle holds its lock, and
-- whoever waits for the lock on the whole journal makes all others wait behind it: not for the three seconds of a session.
ALTER FUNCTION journal_drop(date) SET lock_timeout = '500ms';
