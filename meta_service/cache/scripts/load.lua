-- Bring players from the store into the cache. What the cache already knows and is newer stays.
-- KEYS  counters, leases, then one player hash each
-- ARGV  now (ms), then for each player its row as JSON, every value a string
-- Returns the number of players that are now known.
local now = tonumber(ARGV[1])
local known = 0

local function restore_session(key, id, row)
  local stamp = tonumber(redis.call('HGET', key, 'stamp') or '0')
  if tonumber(row.fence) <= stamp then
    return
  end
  local state = row.outcome or 'held'
  local ended = tonumber(row.ended_ms or '0')
  redis.call('HSET', key, 'stamp', string.format('%.0f', math.max(tonumber(row.fence), ended)), 'fence', row.fence,
    'lease_match', row.match_id, 'lease_server', row.server or '', 'lease_until', row.lease_until_ms or '0',
    'lease_state', state)
  if state == 'held' and redis.call('ZADD', KEYS[2], 'NX', row.lease_until_ms or '0', id) == 1 then
    redis.call('HINCRBY', KEYS[1], 'checkouts', 1)  -- the counters went with the lease
  end
end

-- Two regions may have given one version; then their names decide, here as in the store.
local function newer(key, version_field, region_field, version, region)
  local kept = redis.call('HMGET', key, version_field, region_field)
  local last = tonumber(kept[1] or '-1')
  return tonumber(version) > last or (tonumber(version) == last and region > (kept[2] or ''))
end

for index = 3, #KEYS do
  local key, row = KEYS[index], cjson.decode(ARGV[index - 1])
  if row.device then
    redis.call('HSET', key, 'device', row.device, 'display_name', row.display_name)
    redis.call('HSETNX', key, 'skin', row.skin)
    if newer(key, 'loadout_version', 'loadout_region', row.loadout_version, row.loadout_region) then
      redis.call('HSET', key, 'skin', row.skin, 'emotes', row.emotes, 'settings', row.settings,
        'loadout_version', row.loadout_version, 'loadout_region', row.loadout_region)
    end
  end
  -- What other services wrote may precede the account, so it is kept whether the account is known or not.
  if tonumber(row.xp) >= tonumber(redis.call('HGET', key, 'xp') or '0') then
    redis.call('HSET', key, 'xp', row.xp, 'level', row.level)
  end
  for mode, rating in pairs(row.ratings) do
    redis.call('HSETNX', key, 'rating:' .. mode, rating)
  end
  for currency, wallet in pairs(row.wallets) do
    local shown = redis.call('HGET', key, 'wallet:' .. currency)
    local version = function(text) return tonumber(string.match(text, ',(%d+)$')) end
    if not shown or version(wallet) > version(shown) then
      redis.call('HSET', key, 'wallet:' .. currency, wallet)
    end
  end
  if row.session_id and newer(key, 'session_version', 'home', row.session_version, row.home) then
    redis.call('HSET', key, 'session_id', row.session_id, 'session_generation', row.session_generation,
      'session_state', row.session_state, 'session_version', row.session_version,
      'session_rotated', row.session_version, 'home', row.home)
  end
  if row.fence then
    restore_session(key, row.player_id, row)
  end
  redis.call('HSET', key, 'loaded', '1')
  known = known + redis.call('HEXISTS', key, 'skin')
end
return known
