-- Invariant: the head moves over an entry about a whole import only after every record that the entry changes was
-- dropped by this caller, all of it is here, and nothing was put back meanwhile.
-- KEYS: head, chain. ARGV: prev seq, prev hash, seq, hash, bits, the chain line that leaves, nonce, steps, the import.
-- Returns 1, or 0: the head is another, or the dropping does not count any more.
local at = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'bits', 'drop')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] or at[3] ~= ARGV[5] then return 0 end
if at[4] ~= ARGV[7] .. ':' .. ARGV[8] then return 0 end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('HDEL', KEYS[2], ARGV[6])
redis.call('HDEL', KEYS[1], 'drop')
if redis.call('HSET', KEYS[1], 'bring:' .. ARGV[9], '-1') == 1 then redis.call('HINCRBY', KEYS[1], 'away', 1) end
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'hash', ARGV[4])
return 1
