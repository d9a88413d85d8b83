-- Accept a loadout: the fields, their version and the write-behind entry, all or nothing.
-- KEYS  write-behind stream, players to be settled, player hash
-- ARGV  player id, now (ms), the cache's epoch (empty: whatever it was loaded in), session id (empty: any), most
--       entries that may wait in the stream, region, request id, then skin, emotes and settings (the last two as
--       JSON), each empty to leave it as it is, the items among them that the player must own (with commas between
--       them), the mark of what can be worn (empty: not known)
-- Returns {version, '', skin, emotes, settings, session_seen}, or {0, ''} when the player is not in the cache, or {0, how
-- the session ended}, or {0, 'banned'}, or {0, 'full'} when too much waits for the store already, or {0, 'stale'} when the store
-- may know better: a change of one part must not bring back older other parts; or {0, 'not-owned', item}.
-- Versions are milliseconds where the clock allows and one more than the last where not, so they never go
-- back, not even when the cache was lost, and the newest of two regions' versions is the newest choice.
local stream, unsettled, key = KEYS[1], KEYS[2], KEYS[3]
local player = redis.call('HMGET', key, 'skin', 'emotes', 'settings', 'loadout_version', 'session_id',
  'session_state', 'loaded', 'session_seen', 'worn_check')
if not player[1] then
  return {0, ''}
elseif ARGV[3] ~= '' and tonumber(player[7] or '-1') < tonumber(ARGV[3]) then
  return {0, 'stale'}
end
local ban = redis.call('HGET', key, 'ban')
local ban_ends = ban and tonumber(string.match(ban, '^%d+,(-?%d+)'))
if ban_ends and (ban_ends == 0 or ban_ends > tonumber(ARGV[2])) then
  return {0, 'banned'}
end
if ARGV[4] ~= '' and player[5] then
  if player[5] ~= ARGV[4] then
    return {0, 'superseded'}
  elseif player[6] == 'revoked' then
    return {0, 'revoked'}
  end
end
for item in string.gmatch(ARGV[11], '[^,]+') do
  local owned = redis.call('HGET', key, 'own:' .. item)
  if not owned or string.sub(owned, 1, 2) == '0,' then
    return {0, 'not-owned', item}
  end
end
if redis.call('XLEN', stream) >= tonumber(ARGV[5]) then
  return {0, 'full'}
end
local function choose(asked, kept, first)
  return asked ~= '' and asked or kept or first
end
local skin = choose(ARGV[8], player[1])
local emotes = choose(ARGV[9], player[2], '[]')
local settings = choose(ARGV[10], player[3], '{}')
local version = string.format('%.0f', math.max(tonumber(ARGV[2]), tonumber(player[4]) + 1))
local entry = redis.call('XADD', stream, '*', 'loadout', cjson.encode({
  player_id = ARGV[1], skin = skin, emotes = emotes, settings = settings, version = version, region = ARGV[6],
  request_id = ARGV[7]
}))
redis.call('HSET', key, 'skin', skin, 'emotes', emotes, 'settings', settings, 'loadout_version', version,
  'loadout_region', ARGV[6], 'loadout_entry', entry)
-- All that is worn was looked at, now or before: a check-out need not.
if ARGV[12] ~= '' and (player[9] == ARGV[12] .. ':' .. player[4] or ARGV[8] ~= '' and ARGV[9] ~= '') then
  redis.call('HSET', key, 'worn_check', ARGV[12] .. ':' .. version)
end
redis.call('PERSIST', key)
redis.call('ZADD', unsettled, ARGV[2], ARGV[1])
return {tonumber(version), '', skin, emotes, settings, player[8] or '0'}
