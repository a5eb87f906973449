-- Makes leases end later, for their holders.
-- KEYS: jobs, leases. ARGV: lease (microseconds), then per lease: id, fence.
-- Answers, each: 1 applied, 0 stale, -1 gone.
local time = redis.call('TIME')
local ends = time[1] * 1000000 + time[2] + tonumber(ARGV[1])
local answers = {}
for at = 2, #ARGV, 2 do
  local leased = redis.call('HGET', KEYS[1], ARGV[at])
  local answer = -1
  if leased and string.sub(leased, 1, 16) == ARGV[at + 1] then
    redis.call('ZADD', KEYS[2], ends, leased)
    answer = 1
  elseif leased then
    answer = 0
  end
  answers[#answers + 1] = answer
end
return answers
