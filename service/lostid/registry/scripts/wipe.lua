-- Invariant: the head and the chain, and with them every proof, are gone before any record goes; and only the head that
-- the caller saw is taken away, so that of two relays that decide at once one acts.
-- KEYS: head, chain, doubt. ARGV: seq, hash and fill as seen ("" for none), the new nonce, then field and value of what
-- the head says while it is being filled. Returns 1, or 0: the head is another.
local at = redis.pcall('HMGET', KEYS[1], 'seq', 'hash', 'fill')
if at.err then at = {} end -- no hash at all: what stands there is not ours, and reads as nothing
for i = 1, 3 do
  if (at[i] or '') ~= ARGV[i] then return 0 end
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'fill', ARGV[4], 'step', '0', 'count', '0', unpack(ARGV, 5))
return 1
