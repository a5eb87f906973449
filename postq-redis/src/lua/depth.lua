-- Counts what a topic holds.
-- KEYS: ready, later, leases.
-- Answers: ready, delayed, leased.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = redis.call('ZCOUNT', KEYS[2], '-inf', now)
local ended = redis.call('ZCOUNT', KEYS[3], '-inf', now)
return {
  redis.call('ZCARD', KEYS[1]) + due + ended,
  redis.call('ZCARD', KEYS[2]) - due,
  redis.call('ZCARD', KEYS[3]) - ended,
}
