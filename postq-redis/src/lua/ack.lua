-- Forgets a job, for its holder.
-- KEYS: jobs, leases. ARGV: id, fence.
-- Answers: 1 applied, 0 stale, -1 gone.
local leased = redis.call('HGET', KEYS[1], ARGV[1])
if not leased then return -1 end
if string.sub(leased, 1, 16) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], leased)
return 1
