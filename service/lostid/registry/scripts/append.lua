-- Invariant: the head moves from (prev seq, prev hash) to (seq, hash) together with every record of the entry and its
-- chain line, or nothing changes.
-- KEYS: head, chain, one bucket for each record. ARGV: prev seq, prev hash, seq, hash, bits, the chain line that leaves,
-- then field and value of each record ("" takes it out). Returns 1, or 0: the head is another.
local at = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'bits')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] or at[3] ~= ARGV[5] then return 0 end

-- Look at all before touching any: Redis does not undo, and a key of a wrong type must raise while nothing is changed.
redis.call('HLEN', KEYS[2])
local grown = 0
for i = 3, #KEYS do
  local had = redis.call('HEXISTS', KEYS[i], ARGV[2 * i + 1])
  local has = ARGV[2 * i + 2] == '' and 0 or 1
  grown = grown + has - had
end

for i = 3, #KEYS do
  local field, value = ARGV[2 * i + 1], ARGV[2 * i + 2]
  if value == '' then
    redis.call('HDEL', KEYS[i], field)
  else
    redis.call('HSET', KEYS[i], field, value)
  end
end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('HDEL', KEYS[2], ARGV[6])
redis.call('HINCRBY', KEYS[1], 'count', grown)
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'hash', ARGV[4])
return 1
