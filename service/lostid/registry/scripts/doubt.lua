-- Invariant: at most `limit` document keys wait to be compared with the ledger, however many are doubted.
-- KEYS: doubt. ARGV: limit, document keys. Returns how many wait.
local room = tonumber(ARGV[1]) - redis.call('SCARD', KEYS[1])
for i = 2, math.min(#ARGV, room + 1) do
  redis.call('SADD', KEYS[1], ARGV[i])
end
return redis.call('SCARD', KEYS[1])
