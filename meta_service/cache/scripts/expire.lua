-- End leases whose time is over, so that they are counted and the store hears of them.
-- KEYS  counters, leases, write-behind stream
-- ARGV  now (ms), at most how many, the prefix of player hashes (which share these keys' slot in a cluster)
-- Returns how many ended.
local expired = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local key = ARGV[3] .. id
  local player = redis.call('HMGET', key, 'fence', 'lease_match', 'lease_state')
  if player[3] == 'held' then
    redis.call('HSET', key, 'lease_state', 'expired')
    expired[#expired + 1] = {id, player[1], player[2]}
  end
  redis.call('ZREM', KEYS[2], id)
end
if #expired > 0 then
  redis.call('HINCRBY', KEYS[1], 'expired', #expired)
  redis.call('XADD', KEYS[3], '*', 'expiry', cjson.encode({ended_ms = ARGV[1], players = expired}))
end
return #expired
