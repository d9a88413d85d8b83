-- Show a wallet's balance in the cache, for display alone: money is decided in the store.
-- KEYS  player hash
-- ARGV  currency, balance, version
-- Returns 1 when it was the newest balance so far. Commits may be shown in another order than they were
-- made in.
local field = 'wallet:' .. ARGV[1]
local shown = redis.call('HGET', KEYS[1], field)
if shown and tonumber(string.match(shown, ',(%d+)$')) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], field, ARGV[2] .. ',' .. ARGV[3])
return 1
