-- Invariant: the head comes back last, and only for the filler whose wipe was the last and all of whose steps are here.
-- KEYS: head, chain. ARGV: nonce, step, seq, hash. Returns 1, or 0: the fill is another's, or steps of it were lost.
local at = redis.call('HMGET', KEYS[1], 'fill', 'step')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'fill', 'step', 'done', 'total')
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'hash', ARGV[4])
return 1
