-- Invariant: records go only while the head is where the caller saw it, and `drop` counts the steps of one caller. (A
-- record that is not there is asked of the ledger, so that this may always be done.)
-- KEYS: head, one bucket for each record. ARGV: seq, hash, bits, nonce, step, all fields joined (they are of one width).
-- Returns 1, or 0: the head is another, another caller is at it, or steps were lost.
local at = redis.call('HMGET', KEYS[1], 'seq', 'hash', 'bits', 'drop')
if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] or at[3] ~= ARGV[3] then return 0 end
if ARGV[5] ~= '0' and at[4] ~= ARGV[4] .. ':' .. ARGV[5] then return 0 end
local width, gone = #ARGV[6] / (#KEYS - 1), 0
for i = 2, #KEYS do
  local from = (i - 2) * width
  gone = gone + redis.call('HDEL', KEYS[i], string.sub(ARGV[6], from + 1, from + width))
end
if gone > 0 then redis.call('HINCRBY', KEYS[1], 'count', -gone) end
redis.call('HSET', KEYS[1], 'drop', ARGV[4] .. ':' .. tostring(tonumber(ARGV[5]) + 1))
return 1
