-- Frees those of the keys that the token holds.
-- KEYS: keys. ARGV: token.
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
