-- The parties that a player may join, the oldest invitation first.
-- KEYS  the player's invitations, then the parties among them that the caller has seen
-- ARGV  now (ms), player id, then the ids of these parties, in the same order
-- Returns {party id, until (ms), party as a flat list} for each. What has ended since is taken off the list; what came
-- since the caller looked is not in the answer.
local found = {}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for index = 2, #KEYS do
  local party, id = KEYS[index], ARGV[index + 1]
  local until_ms = redis.call('HGET', party, 'i:' .. ARGV[2])
  if not until_ms or tonumber(until_ms) <= tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], id)
  elseif redis.call('ZSCORE', KEYS[1], id) then
    found[#found + 1] = {id, until_ms, redis.call('HGETALL', party)}
  end
end
return found
