-- Invariant: records are filled in only by the filler whose wipe was the last, and only as its next step: after a
-- failover that lost some steps none of the later ones does anything.
-- KEYS: head, the buckets. ARGV: nonce, step, what is done so far, then for each bucket the number of its records and
-- their fields and values. Returns 1, or 0: the fill is another's, or steps of it were lost.
local at = redis.call('HMGET', KEYS[1], 'fill', 'step')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then return 0 end
local grown, from = 0, 4
for i = 2, #KEYS do
  local to = from + 2 * tonumber(ARGV[from])
  grown = grown + redis.call('HSET', KEYS[i], unpack(ARGV, from + 1, to))
  from = to + 1
end
redis.call('HINCRBY', KEYS[1], 'count', grown)
redis.call('HINCRBY', KEYS[1], 'step', 1)
redis.call('HSET', KEYS[1], 'done', ARGV[3])
return 1
