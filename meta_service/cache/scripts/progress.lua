-- Publish a player's experience and level; neither ever goes back, so repeating and reordering do no harm.
-- KEYS  the player
-- ARGV  xp, level
-- Returns 1 when the player moved.
-- A player who is not in the cache gets the two fields alone: a load that is under way must not bring back
-- older ones.
local last = redis.call('HGET', KEYS[1], 'xp')
if last and tonumber(ARGV[1]) <= tonumber(last) then
  return 0
end
redis.call('HSET', KEYS[1], 'xp', ARGV[1], 'level', ARGV[2])
return 1
