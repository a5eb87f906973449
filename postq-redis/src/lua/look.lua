-- Shows buckets as they are, and takes nothing.
-- KEYS: epoch, lost, and the buckets. ARGV: the epoch that the caller knows ('0': none).
-- Answers: the time (microseconds), when buckets were lost or nil, and of each bucket its theoretical arrival
-- time, remaining and resets at, nil where there is none.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
local lost = redis.call('GET', KEYS[2])
local epoch = redis.call('GET', KEYS[1])
if ARGV[1] ~= '0' and ARGV[1] ~= epoch then
  -- The next `take` will notice it.
  lost = epoch or now
end
local buckets = {}
for i = 3, #KEYS do
  buckets[i - 2] = redis.call('HMGET', KEYS[i], 'tat', 'remaining', 'resets_at')
end
return { now, lost, buckets }
