-- Publish a player's rating in a mode; the one that rests on more matches stays, so repeating and reordering do
-- no harm.
-- KEYS  the player
-- ARGV  mode, "mu,sigma", number of matches
-- Returns 1 when it moved.
local field = 'rated:' .. ARGV[1]
local last = redis.call('HGET', KEYS[1], field)
if last and tonumber(ARGV[3]) <= tonumber(last) then
  return 0
end
redis.call('HSET', KEYS[1], 'rating:' .. ARGV[1], ARGV[2], field, ARGV[3])
return 1
