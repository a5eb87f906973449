-- Adds the jobs that are not held yet, and wakes who waits.
-- KEYS: jobs, ready, later, epoch. ARGV: channel, then per job: id, member, due (microseconds).
-- Answers: the epoch.
local FREE = '0000000000000000'
local jobs, ready, later = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local epoch = redis.call('GET', KEYS[4])
if not epoch then
  epoch = string.format('%.0f', now)
  redis.call('SET', KEYS[4], epoch)
end

local ids = {}
for at = 2, #ARGV, 3 do
  ids[#ids + 1] = ARGV[at]
end
local known = redis.call('HMGET', jobs, unpack(ids))

local set, due, delayed, seen = {}, {}, {}, {}
for n, id in ipairs(ids) do
  if not known[n] and not seen[id] then
    seen[id] = true
    local member, at = ARGV[3 * n], tonumber(ARGV[3 * n + 1])
    set[#set + 1] = id
    set[#set + 1] = FREE .. member
    if at <= now then
      due[#due + 1] = 0
      due[#due + 1] = member
    else
      delayed[#delayed + 1] = ARGV[3 * n + 1]
      delayed[#delayed + 1] = member
    end
  end
end
if #set > 0 then
  redis.call('HSET', jobs, unpack(set))
  if #due > 0 then redis.call('ZADD', ready, unpack(due)) end
  if #delayed > 0 then redis.call('ZADD', later, unpack(delayed)) end
  -- A user without the right to publish still has a queue: waiting is then by looking.
  redis.pcall('PUBLISH', ARGV[1], '')
end
return epoch
