-- Forgets jobs, whoever holds them.
-- KEYS: jobs, ready, later, leases. ARGV: ids.
local known = redis.call('HMGET', KEYS[1], unpack(ARGV))
local leased, free, ids = {}, {}, {}
for n, id in ipairs(ARGV) do
  if known[n] then
    ids[#ids + 1] = id
    leased[#leased + 1] = known[n]
    free[#free + 1] = string.sub(known[n], 17)
  end
end
if #ids > 0 then
  redis.call('HDEL', KEYS[1], unpack(ids))
  redis.call('ZREM', KEYS[2], unpack(free))
  redis.call('ZREM', KEYS[3], unpack(free))
  redis.call('ZREM', KEYS[4], unpack(leased))
end
return #ids
