-- Invariant: one record becomes what the ledger says at (seq, hash), only while that is the head. Whoever is dropping
-- records begins anew.
-- KEYS: head, bucket. ARGV: seq, hash, bits, field, value ("": no record). Returns 1: was so; 2: was not, is now;
-- 0: the head is another.
local at = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'bits')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] or at[3] ~= ARGV[3] then return 0 end
local had = redis.call('HGET', KEYS[2], ARGV[4])
if (had or '') == ARGV[5] then return 1 end
if ARGV[5] == '' then
  redis.call('HDEL', KEYS[2], ARGV[4])
  redis.call('HINCRBY', KEYS[1], 'count', -1)
else
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
  if not had then redis.call('HINCRBY', KEYS[1], 'count', 1) end
end
redis.call('HINCRBY', KEYS[1], 'repaired', 1)
redis.call('HDEL', KEYS[1], 'drop')
return 2
