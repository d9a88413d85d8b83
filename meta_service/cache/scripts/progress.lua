-- Publish a player's experience and level; neither ever goes back, so repeating and reordering do no harm.
-- KEYS  the lock of the player's load, player hash
-- ARGV  xp, level, how long to keep it for a load that is under way (s)
-- Returns 1 when the player moved.
-- A player who is not in the cache gets no key, unless a load is under way: it may bring older experience.
local lock, key = KEYS[1], KEYS[2]
local there = redis.call('EXISTS', key) == 1
if not there and redis.call('EXISTS', lock) == 0 then
  return 0
end
if redis.call('HEXISTS', key, 'erased') == 1 then
  return 0  -- deleted: told too late
end
local last = redis.call('HGET', key, 'xp')
if last and tonumber(ARGV[1]) <= tonumber(last) then
  return 0
end
redis.call('HSET', key, 'xp', ARGV[1], 'level', ARGV[2])
if not there then
  redis.call('EXPIRE', key, ARGV[3])
end
return 1
