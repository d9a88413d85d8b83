-- Open an account in the cache, unless it is there; the store hears of it through the write-behind stream.
-- KEYS  write-behind stream, players to be settled, player hash
-- ARGV  player id, device hash (hexadecimal), display name, skin, now (ms), the epoch in which the store was
--       asked (empty: it was not), request id
-- Returns {created 0|1, the account's device hash}.
local stream, unsettled, key = KEYS[1], KEYS[2], KEYS[3]
local device = redis.call('HGET', key, 'device')
if device then
  return {0, device}
end
redis.call('HSET', key, 'device', ARGV[2], 'display_name', ARGV[3], 'skin', ARGV[4], 'loadout_version', '0')
redis.call('HSETNX', key, 'xp', '0')  -- progress may have arrived first
redis.call('HSETNX', key, 'level', '1')
if ARGV[6] ~= '' then
  redis.call('HSET', key, 'loaded', ARGV[6])
end
redis.call('PERSIST', key)
redis.call('ZADD', unsettled, ARGV[5], ARGV[1])
redis.call('XADD', stream, '*', 'account', cjson.encode({
  player_id = ARGV[1], device_hash = ARGV[2], display_name = ARGV[3], created_ms = ARGV[5], request_id = ARGV[7]
}))
return {1, ARGV[2]}
