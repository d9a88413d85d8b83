-- Publish players' experience and level; neither ever goes back, so repeating and reordering do no harm.
-- KEYS  one player hash each
-- ARGV  xp and level of each player
-- Returns how many players moved.
-- A player who is not in the cache gets the two fields alone: a load that is under way must not bring back
-- older ones.
local moved = 0
for index, key in ipairs(KEYS) do
  local xp, level = ARGV[index * 2 - 1], ARGV[index * 2]
  local last = redis.call('HGET', key, 'xp')
  if not last or tonumber(xp) > tonumber(last) then
    redis.call('HSET', key, 'xp', xp, 'level', level)
    moved = moved + 1
  end
end
return moved
