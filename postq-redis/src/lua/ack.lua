-- Forgets jobs, for their holders.
-- KEYS: jobs, leases. ARGV, per lease: id, fence.
-- Answers, each: 1 applied, 0 stale, -1 gone.
local ids = {}
for at = 1, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
end
local known = redis.call('HMGET', KEYS[1], unpack(ids))

local answers, gone, ends, seen = {}, {}, {}, {}
for n, id in ipairs(ids) do
  local leased = known[n]
  if not leased or seen[id] then
    answers[n] = -1
  elseif string.sub(leased, 1, 16) ~= ARGV[2 * n] then
    answers[n] = 0
  else
    answers[n] = 1
    seen[id] = true
    gone[#gone + 1] = id
    ends[#ends + 1] = leased
  end
end
if #gone > 0 then
  redis.call('HDEL', KEYS[1], unpack(gone))
  redis.call('ZREM', KEYS[2], unpack(ends))
end
return answers
