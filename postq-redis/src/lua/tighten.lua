-- Takes the platform's word on a bucket; never loosens before the earlier reading has ended.
-- KEYS: bucket. ARGV: remaining, resets at (microseconds).
local remaining, resets_at = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local bucket = redis.call('HMGET', KEYS[1], 'tat', 'remaining', 'resets_at')
local known, until_then = tonumber(bucket[2]), tonumber(bucket[3])
if known and now < until_then then
  remaining = math.min(remaining, known)
  resets_at = math.max(resets_at, until_then)
end
local text = string.format('%.0f', resets_at)
redis.call('HSET', KEYS[1], 'remaining', remaining, 'resets_at', text)
local full = math.max(tonumber(bucket[1]) or 0, resets_at)
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(full / 1000) + 1))
