-- End one player's lease if its time is over, so that it is counted and the store hears of it.
-- KEYS  counters, leases, write-behind stream, players to be settled, the player
-- ARGV  player id, now (ms)
-- Returns 1 when it ended now.
local player = redis.call('HMGET', KEYS[5], 'fence', 'lease_match', 'lease_state', 'lease_until', 'stamp')
if player[3] ~= 'held' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 0
elseif tonumber(player[4]) > tonumber(ARGV[2]) then
  redis.call('ZADD', KEYS[2], player[4], ARGV[1])  -- it was renewed since the caller looked
  return 0
end
-- Past the lease's end also for a check-out that began before it and waited meanwhile, for the store.
redis.call('HSET', KEYS[5], 'lease_state', 'expired',
  'stamp', string.format('%.0f', math.max(tonumber(player[5]), tonumber(ARGV[2]))))
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'expired', 1)
redis.call('XADD', KEYS[3], '*', 'expiry', cjson.encode({
  ended_ms = ARGV[2], players = {{ARGV[1], player[1], player[2]}}
}))
return 1
