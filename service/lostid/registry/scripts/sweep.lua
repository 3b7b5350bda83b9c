-- Invariant: old buckets are taken away only by the filler whose wipe was the last, and only as its next step.
-- KEYS: head, the buckets. ARGV: nonce, step. Returns 1, or 0: the fill is another's, or steps of it were lost.
local at = redis.call('HMGET', KEYS[1], 'fill', 'step')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then return 0 end
redis.call('UNLINK', unpack(KEYS, 2))
redis.call('HINCRBY', KEYS[1], 'step', 1)
return 1
