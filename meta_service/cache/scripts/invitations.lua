-- The parties that a player may join, the oldest invitation first.
-- KEYS  the player's invitations
-- ARGV  now (ms), player id, the prefix of parties' keys (which share this key's slot in a cluster)
-- Returns {party id, until (ms), party as a flat list} for each. What has ended since is taken off the list.
local found = {}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
local rows = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for index = 1, #rows, 2 do
  local until_ms = redis.call('HGET', ARGV[3] .. rows[index], 'i:' .. ARGV[2])
  if until_ms and tonumber(until_ms) > tonumber(ARGV[1]) then
    found[#found + 1] = {rows[index], until_ms, redis.call('HGETALL', ARGV[3] .. rows[index])}
  else
    redis.call('ZREM', KEYS[1], rows[index])
  end
end
return found
