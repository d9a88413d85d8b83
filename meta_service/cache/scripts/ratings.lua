-- Publish a player's rating in a mode; the one that rests on more matches stays, so repeating and reordering do
-- no harm.
-- KEYS  the lock of the player's load, player hash
-- ARGV  mode, "mu,sigma", number of matches, how long to keep it for a load that is under way (s)
-- Returns 1 when it moved.
-- A player who is not in the cache gets no key, unless a load is under way: it may bring an older rating.
local lock, key, field = KEYS[1], KEYS[2], 'rated:' .. ARGV[1]
local there = redis.call('EXISTS', key) == 1
if not there and redis.call('EXISTS', lock) == 0 then
  return 0
end
if redis.call('HEXISTS', key, 'erased') == 1 then
  return 0  -- deleted: told too late
end
local last = redis.call('HGET', key, field)
if last and tonumber(ARGV[3]) <= tonumber(last) then
  return 0
end
redis.call('HSET', key, 'rating:' .. ARGV[1], ARGV[2], field, ARGV[3])
if not there then
  redis.call('EXPIRE', key, ARGV[4])
end
return 1
