-- Puts a job back, for its holder, due at another time.
-- KEYS: jobs, later, leases. ARGV: id, fence, the time as members have it, the time in microseconds,
-- channel.
-- Answers: 1 applied, 0 stale, -1 gone.
local FREE = '0000000000000000'
local leased = redis.call('HGET', KEYS[1], ARGV[1])
if not leased then return -1 end
if string.sub(leased, 1, 16) ~= ARGV[2] then return 0 end
local member = string.sub(leased, 17, 21) .. ARGV[3] .. string.sub(leased, 38)
redis.call('ZREM', KEYS[3], leased)
redis.call('ZADD', KEYS[2], ARGV[4], member)
redis.call('HSET', KEYS[1], ARGV[1], FREE .. member)
redis.pcall('PUBLISH', ARGV[5], '')
return 1
