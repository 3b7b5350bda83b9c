-- Invariant: records are shown only if, in the same instant, the chain holds the reader's entry with the reader's hash.
-- KEYS: head, chain, one bucket for each record. ARGV: seq, hash, bits, all fields joined (they are of one width).
-- Returns "U": not proven; "B" and the bits: the buckets are laid out otherwise; "P" and for each record
-- two bytes of length and the value, length 0 for a miss. One string, because a reply of many parts costs the reader more.
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 'U' end
local bits = redis.call('HGET', KEYS[1], 'bits')
if not bits then return 'U' end
if bits ~= ARGV[3] then return 'B' .. bits end
local width = #ARGV[4] / (#KEYS - 2)
local found = {'P'}
for i = 3, #KEYS do
  local from = (i - 3) * width
  local value = redis.call('HGET', KEYS[i], string.sub(ARGV[4], from + 1, from + width)) or ''
  found[i - 1] = string.char(math.floor(#value / 256), #value % 256) .. value
end
return table.concat(found)
