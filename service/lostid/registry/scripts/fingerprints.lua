-- Invariant: the fingerprints are those of the buckets at the head that is returned with them.
-- KEYS: head, the buckets. Returns seq, hash, bits and a SHA-1 in hex for each bucket, end to end; nothing
-- while filling, or while the records of an import are away.
local at = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'bits', 'fill', 'drop', 'away')
if not (at[1] and at[2] and at[3]) or at[4] or at[5] or (at[6] or '0') ~= '0' then return {} end
local made = {}
for i = 2, #KEYS do
  made[i - 1] = redis.sha1hex(redis.call('DUMP', KEYS[i]) or '')
end
return {at[1], at[2], at[3], table.concat(made)}
