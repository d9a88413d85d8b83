-- Accept a loadout: the fields, their version and the write-behind entry, all or nothing.
-- KEYS  player hash, write-behind stream
-- ARGV  player id, now (ms), session id (empty: any), most entries that may wait in the stream, region,
--       request id, then skin, emotes and settings (the last two as JSON), each empty to leave it as it is
-- Returns {version, '', skin, emotes, settings}, or {0, ''} when the player is not in the cache, or {0, how
-- the session ended}, or {0, 'full'} when too much waits for the store already.
-- Versions are milliseconds where the clock allows and one more than the last where not, so they never go
-- back, not even when the cache was lost, and the newest of two regions' versions is the newest choice.
local player = redis.call('HMGET', KEYS[1], 'skin', 'emotes', 'settings', 'loadout_version', 'session_id', 'session_state')
if not player[1] then
  return {0, ''}
end
if ARGV[3] ~= '' and player[5] then
  if player[5] ~= ARGV[3] then
    return {0, 'superseded'}
  elseif player[6] == 'revoked' then
    return {0, 'revoked'}
  end
end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[4]) then
  return {0, 'full'}
end
local function choose(asked, kept, first)
  return asked ~= '' and asked or kept or first
end
local skin = choose(ARGV[7], player[1])
local emotes = choose(ARGV[8], player[2], '[]')
local settings = choose(ARGV[9], player[3], '{}')
local version = string.format('%.0f', math.max(tonumber(ARGV[2]), tonumber(player[4]) + 1))
local entry = redis.call('XADD', KEYS[2], '*', 'loadout', cjson.encode({
  player_id = ARGV[1], skin = skin, emotes = emotes, settings = settings, version = version, region = ARGV[5],
  request_id = ARGV[6]
}))
redis.call('HSET', KEYS[1], 'skin', skin, 'emotes', emotes, 'settings', settings, 'loadout_version', version,
  'loadout_region', ARGV[5], 'loadout_entry', entry)
return {tonumber(version), '', skin, emotes, settings}
