-- Publish players' ratings; the one that rests on more matches stays, so repeating and reordering do no harm.
-- KEYS  one player hash each; a player with ratings in several modes comes several times
-- ARGV  mode, "mu,sigma" and number of matches of each
-- Returns how many moved.
local moved = 0
for index, key in ipairs(KEYS) do
  local mode, rating, matches = ARGV[index * 3 - 2], ARGV[index * 3 - 1], ARGV[index * 3]
  local last = redis.call('HGET', key, 'rated:' .. mode)
  if not last or tonumber(matches) > tonumber(last) then
    redis.call('HSET', key, 'rating:' .. mode, rating, 'rated:' .. mode, matches)
    moved = moved + 1
  end
end
return moved
