-- Invariant: records and fingerprint are those of the bucket at the head that is returned with them.
-- KEYS: head, bucket. Returns seq, hash, bits, the fingerprint, and the list of fields and values; nothing while
-- filling, or while the records of an import are away.
local at = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'bits', 'fill', 'drop', 'away')
if not (at[1] and at[2] and at[3]) or at[4] or at[5] or (at[6] or '0') ~= '0' then return {} end
local found = redis.call('HGETALL', KEYS[2])
local made = redis.sha1hex(redis.call('DUMP', KEYS[2]) or '')
return {at[1], at[2], at[3], made, found}
