-- Show a wallet's balance in the cache, for display alone: money is decided in the store.
-- KEYS  the lock of the player's load, player hash
-- ARGV  currency, balance, version, how long to keep it for a load that is under way (s)
-- Returns 1 when it was the newest balance so far. Commits may be shown in another order than they were
-- made in.
-- A player who is not in the cache gets no key, unless a load is under way: it may bring an older balance.
local lock, key, field = KEYS[1], KEYS[2], 'wallet:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then
  if redis.call('EXISTS', lock) == 0 then
    return 0
  end
  redis.call('HSET', key, field, ARGV[2] .. ',' .. ARGV[3])
  redis.call('EXPIRE', key, ARGV[4])
  return 1
end
if redis.call('HEXISTS', key, 'erased') == 1 then
  return 0  -- deleted: told too late
end
local shown = redis.call('HGET', key, field)
if shown and tonumber(string.match(shown, ',(%d+)$')) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', key, field, ARGV[2] .. ',' .. ARGV[3])
return 1
