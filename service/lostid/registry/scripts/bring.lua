-- Invariant: records become what the ledger says at (seq, hash), only while that is the head; how far an import's records
-- are back is said with them. Whoever is dropping records begins anew.
-- KEYS: head, one bucket for each record. ARGV: seq, hash, bits, the import, the part that is back ('': all are), then
-- field and value of each record. Returns 1, or 0: the head is another.
local at = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'bits')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] or at[3] ~= ARGV[3] then return 0 end
local grown = 0
for i = 2, #KEYS do
  grown = grown + redis.call('HSET', KEYS[i], ARGV[2 * i + 2], ARGV[2 * i + 3])
end
if grown > 0 then redis.call('HINCRBY', KEYS[1], 'count', grown) end
redis.call('HDEL', KEYS[1], 'drop')
if ARGV[5] == '' then
  if redis.call('HDEL', KEYS[1], 'bring:' .. ARGV[4]) == 1 then redis.call('HINCRBY', KEYS[1], 'away', -1) end
else
  redis.call('HSET', KEYS[1], 'bring:' .. ARGV[4], ARGV[5])
end
return 1
