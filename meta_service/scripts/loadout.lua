-- Accept a loadout: the field, its version and the write-behind entry, all or nothing.
-- KEYS  player hash, write-behind stream
-- ARGV  player id, skin, now (ms), session id (empty: any)
-- Returns {version, ''}, or {0, ''} when the player is not in the cache, or {0, how the session ended}.
-- Versions are milliseconds where the clock allows and one more than the last where not, so they never go back, not
-- even when the cache was lost, and the newest of two regions' versions is the newest choice.
if redis.call('HEXISTS', KEYS[1], 'skin') == 0 then
  return {0, ''}
end
local session = redis.call('HMGET', KEYS[1], 'session_id', 'session_state')
if ARGV[4] ~= '' and session[1] then
  if session[1] ~= ARGV[4] then
    return {0, 'superseded'}
  elseif session[2] == 'revoked' then
    return {0, 'revoked'}
  end
end
local last = tonumber(redis.call('HGET', KEYS[1], 'loadout_version'))
local version = string.format('%.0f', math.max(tonumber(ARGV[3]), last + 1))
local entry = redis.call('XADD', KEYS[2], '*', 'loadout', cjson.encode({
  player_id = ARGV[1], skin = ARGV[2], version = version
}))
redis.call('HSET', KEYS[1], 'skin', ARGV[2], 'loadout_version', version, 'loadout_entry', entry)
return {tonumber(version), ''}
