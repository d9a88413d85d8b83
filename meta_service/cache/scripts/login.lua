-- Open an account in the cache, unless it is there; the store hears of it through the write-behind stream.
-- KEYS  player hash, write-behind stream
-- ARGV  player id, device hash (hexadecimal), display name, skin, now (ms), loaded ("1": the store was
--       asked), request id
-- Returns {created 0|1, the account's device hash}.
local device = redis.call('HGET', KEYS[1], 'device')
if device then
  return {0, device}
end
redis.call('HSET', KEYS[1], 'device', ARGV[2], 'display_name', ARGV[3], 'skin', ARGV[4], 'loadout_version', '0')
redis.call('HSETNX', KEYS[1], 'xp', '0')  -- progress may have arrived first
redis.call('HSETNX', KEYS[1], 'level', '1')
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'loaded', '1')
end
redis.call('XADD', KEYS[2], '*', 'account', cjson.encode({
  player_id = ARGV[1], device_hash = ARGV[2], display_name = ARGV[3], created_ms = ARGV[5], request_id = ARGV[7]
}))
return {1, ARGV[2]}
