-- Open an account in the cache, unless it is there; the store hears of it through the write-behind stream.
-- KEYS  write-behind stream, players to be settled, player hash
-- ARGV  player id, device hash (hexadecimal), display name, skin, now (ms), the epoch in which the store was
--       asked (empty: it was not), request id, the mark of what can be worn (empty: not known)
-- Returns {created 0|1, the account's device hash}; of an account that was deleted, no hash.
local stream, unsettled, key = KEYS[1], KEYS[2], KEYS[3]
local device = redis.call('HGET', key, 'device')
if device then
  return {0, device}
elseif redis.call('HEXISTS', key, 'erased') == 1 then
  return {0, ''}
end
redis.call('HSET', key, 'device', ARGV[2], 'display_name', ARGV[3], 'skin', ARGV[4], 'loadout_version', '0')
redis.call('HSETNX', key, 'xp', '0')  -- progress may have arrived first
redis.call('HSETNX', key, 'level', '1')
if ARGV[6] ~= '' then
  redis.call('HSET', key, 'loaded', ARGV[6])
end
if ARGV[8] ~= '' then
  redis.call('HSET', key, 'worn_check', ARGV[8] .. ':0')  -- what everybody wears at first is free
end
redis.call('PERSIST', key)
redis.call('ZADD', unsettled, ARGV[5], ARGV[1])
redis.call('XADD', stream, '*', 'account', cjson.encode({
  player_id = ARGV[1], device_hash = ARGV[2], display_name = ARGV[3], created_ms = ARGV[5], request_id = ARGV[7]
}))
return {1, ARGV[2]}
