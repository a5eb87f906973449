-- Makes ready what is due or whose lease has ended, then leases what is ready, in order.
-- KEYS: jobs, ready, later, leases, fence, epoch.
-- ARGV: limit, lease (microseconds), after which member, whether to take although more is due,
-- how much to look at in one call, then the beginnings of lanes to skip.
-- Answers: epoch, microseconds until something becomes due (-1: nothing will), whether to call again
-- and from which member on, then each leased job as its fence and its member.
local FREE = '0000000000000000'
local jobs, ready, later, leases = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit, lease, step = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[5])
local cursor, final = ARGV[3], ARGV[4] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- A server that is told to evict keys may have taken one of the four. What is left makes no sense:
-- begin anew, and let the sweep push everything again.
local epoch = redis.call('GET', KEYS[6])
local held = redis.call('ZCARD', ready) + redis.call('ZCARD', later) + redis.call('ZCARD', leases)
if redis.call('HLEN', jobs) ~= held then
  redis.call('UNLINK', jobs, ready, later, leases)
  epoch = false
end
if not epoch then
  epoch = string.format('%.0f', now)
  redis.call('SET', KEYS[6], epoch)
end

local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, step)
if #due > 0 then
  local add = {}
  for n, member in ipairs(due) do
    add[2 * n - 1], add[2 * n] = 0, member
  end
  redis.call('ZADD', ready, unpack(add))
  redis.call('ZREM', later, unpack(due))
end
local ended = redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, step)
if #ended > 0 then
  local add, set = {}, {}
  for n, leased in ipairs(ended) do
    local member = string.sub(leased, 17)
    add[2 * n - 1], add[2 * n] = 0, member
    set[2 * n - 1], set[2 * n] = string.sub(member, 22, 53), FREE .. member
  end
  redis.call('ZADD', ready, unpack(add))
  redis.call('HSET', jobs, unpack(set))
  redis.call('ZREM', leases, unpack(ended))
end
if (#due == step or #ended == step) and not final then
  return { epoch, 0, 1, cursor }
end

local verdicts = {}
local function is_skipped(member)
  local lane = string.sub(member, 54)
  if verdicts[lane] == nil then
    verdicts[lane] = false
    for n = 6, #ARGV do
      if string.sub(lane, 1, 1) == '+' and string.sub(lane, 2, 1 + #ARGV[n]) == ARGV[n] then
        verdicts[lane] = true
        break
      end
    end
  end
  return verdicts[lane]
end

local taken, looked, more = {}, 0, 0
while #taken < limit do
  local want = #ARGV > 5 and 200 or limit
  local from = cursor == '' and '-' or '(' .. cursor
  local page = redis.call('ZRANGEBYLEX', ready, from, '+', 'LIMIT', 0, want)
  for _, member in ipairs(page) do
    if #taken == limit then break end
    cursor = member
    if not is_skipped(member) then taken[#taken + 1] = member end
  end
  looked = looked + #page
  if #page < want then break end
  if looked >= step and #taken < limit then
    more = 1
    break
  end
end

local function first(key)
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end
local next = math.min(first(later) or math.huge, first(leases) or math.huge)
local answer = { epoch, next == math.huge and -1 or math.max(next - now, 0), more, cursor }

if #taken > 0 then
  -- Rises over all jobs and, because it is never behind the time, over a wipe and a failover too.
  local fence = math.max(tonumber(redis.call('GET', KEYS[5]) or '0'), now)
  local add, set = {}, {}
  for n, member in ipairs(taken) do
    local leased = string.format('%016.0f', fence + n) .. member
    add[2 * n - 1], add[2 * n] = now + lease, leased
    set[2 * n - 1], set[2 * n] = string.sub(member, 22, 53), leased
    answer[4 + n] = leased
  end
  redis.call('SET', KEYS[5], string.format('%.0f', fence + #taken))
  redis.call('ZREM', ready, unpack(taken))
  redis.call('ZADD', leases, unpack(add))
  redis.call('HSET', jobs, unpack(set))
end
return answer
