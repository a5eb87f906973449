-- Reserves the next slot of a bucket: GCRA (the generic cell rate algorithm) plus the platform's reading.
-- KEYS: bucket, epoch, lost. ARGV: microseconds between two slots, burst, not before (microseconds),
-- the epoch that the caller knows ('0': none).
-- Answers: the slot (microseconds), the epoch.
local every, burst, not_before = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number)
  return string.format('%.0f', number)
end

local epoch = redis.call('GET', KEYS[2])
if not epoch then
  epoch = text(now)
  redis.call('SET', KEYS[2], epoch)
end
if ARGV[4] ~= '0' and ARGV[4] ~= epoch then
  -- Buckets were in use before this epoch, and nobody knows how full they were.
  redis.call('SET', KEYS[3], epoch, 'EX', 172800)
end

local bucket = redis.call('HMGET', KEYS[1], 'tat', 'remaining', 'resets_at')
local tat, remaining, resets_at = tonumber(bucket[1]), tonumber(bucket[2]), tonumber(bucket[3])
if not tat then
  -- A bucket that was lost starts empty.
  local lost = tonumber(redis.call('GET', KEYS[3]))
  tat = math.max(now, lost and lost + every * burst or now)
end

local slot = math.max(not_before, now, tat - every * (burst - 1))
if remaining and slot < resets_at then
  if remaining > 0 then
    remaining = remaining - 1
    tat = math.max(tat, slot) + every
  else
    -- What waited for the reset is paced from there on, however large the burst.
    slot = math.max(resets_at, tat)
    tat = slot + every
  end
else
  tat = math.max(tat, slot) + every
end

redis.call('HSET', KEYS[1], 'tat', text(tat))
if remaining then redis.call('HSET', KEYS[1], 'remaining', remaining) end
-- Full again, a bucket is like one that nobody has used.
local full = math.max(tat, resets_at or 0)
redis.call('PEXPIREAT', KEYS[1], text(math.ceil(full / 1000) + 1))
return { text(slot), epoch }
