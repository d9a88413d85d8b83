-- Bring one player from the store into the cache. What the cache already knows and is newer stays.
-- KEYS  counters, leases, sessions' ends, revocations, kicks, the player
-- ARGV  player id, now (ms), the store's row as JSON (every value a string), the cache's epoch, how long a player
--       of whom the store has everything is kept (s), how long a session's last access token may live (ms)
-- Returns 1 when the player is known now.
-- A player of whom neither knows anything gets no key: anybody may ask for any number.
local REVOCATIONS_KEPT, KICKS_KEPT = 1000000, 100000  -- entries, at most
local counters, leases, ends, revocations, kicks, key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, now, row, epoch = ARGV[1], tonumber(ARGV[2]), cjson.decode(ARGV[3]), tonumber(ARGV[4])
local life = redis.call('PTTL', key)  -- -2: no such key; -1: it does not expire, as something is under way
if life == -2 and not (row.device or row.xp or row.ratings or row.wallets or row.session_id or row.fence
  or row.ban or row.erased) then
  return 0
end

-- Two regions may have given one version; then their names decide, here as in the store.
local function newer_loadout()
  local kept = redis.call('HMGET', key, 'loadout_version', 'loadout_region')
  local last, version = tonumber(kept[1] or '-1'), tonumber(row.loadout_version)
  return version > last or version == last and row.loadout_region > (kept[2] or '')
end

-- Tell the matchmaker that a session's tokens open nothing any more, unless all of them have expired.
local function tell_revocation(session, why, rotated)
  local tokens_end = tonumber(rotated or '0') + tonumber(ARGV[6])
  if tokens_end > now then
    redis.call('XADD', revocations, 'MAXLEN', '~', REVOCATIONS_KEPT, '*', 'player', id, 'session', session,
      'why', why, 'at', ARGV[2], 'until', string.format('%.0f', now + tonumber(ARGV[6])), 'reason', '')
  end
end

-- Of two sessions the one that was opened later; of one session, that it was ended before anything else, and
-- the newest generation that was given and used.
local function merge_session()
  local kept = redis.call('HMGET', key, 'session_id', 'session_opened', 'session_state', 'session_version', 'home',
    'session_generation', 'session_seen', 'session_rotated')
  local last, version = tonumber(kept[4] or '-1'), tonumber(row.session_version)
  local opened, asked = tonumber(kept[2] or '0'), tonumber(row.session_opened or '0')
  local later = version > last or version == last and row.home > (kept[5] or '')
  local generation, seen, rotated = tonumber(row.session_generation), tonumber(row.session_seen or '0'), row.session_version
  if kept[1] == row.session_id then
    if kept[3] ~= row.session_state then
      later = row.session_state == 'revoked'
    end
    if tonumber(kept[6] or '0') >= generation then
      generation, rotated = tonumber(kept[6] or '0'), kept[8] or rotated
    end
    asked = math.max(opened, asked)
    version = math.max(last, version)
    seen = math.max(seen, tonumber(kept[7] or '0'))
    redis.call('HSET', key, 'session_generation', generation, 'session_seen', seen, 'session_rotated', rotated)
  elseif kept[1] and opened ~= asked then
    later = asked > opened
  end
  if later then
    redis.call('HSET', key, 'session_id', row.session_id, 'session_generation', generation, 'session_seen', seen,
      'session_state', row.session_state, 'session_opened', string.format('%.0f', asked),
      'session_version', string.format('%.0f', version), 'session_rotated', rotated, 'home', row.home)
    if row.session_state == 'revoked' and kept[3] == 'live' then
      redis.call('XADD', ends, '*', 'player', id, 'at', row.session_version, 'why', 'revoked')
    end
    if kept[1] and kept[3] == 'live' and (kept[1] ~= row.session_id or row.session_state == 'revoked') then
      tell_revocation(kept[1], kept[1] ~= row.session_id and 'superseded' or 'revoked', kept[8])
    end
  end
end

-- The newest ban, or that it was lifted. Whoever brings it first tells the matchmaker, and the game server that
-- holds the player.
local function merge_ban()
  local kept = redis.call('HMGET', key, 'ban', 'lease_state', 'lease_match')
  local version, ends_ms, reason = string.match(row.ban, '^(%d+),(-?%d+),(.*)$')
  if kept[1] and tonumber(version) <= tonumber(string.match(kept[1], '^%d+')) then
    return
  end
  redis.call('HSET', key, 'ban', row.ban)
  local holds = ends_ms == '0' or tonumber(ends_ms) > now
  if holds or kept[1] then
    redis.call('XADD', revocations, 'MAXLEN', '~', REVOCATIONS_KEPT, '*', 'player', id, 'session', '', 'at', ARGV[2],
      'why', holds and 'banned' or 'unbanned', 'until', ends_ms, 'reason', reason)
  end
  if holds then
    redis.call('XADD', ends, '*', 'player', id, 'at', ARGV[2], 'why', 'revoked')
    if kept[2] == 'held' then
      redis.call('XADD', kicks, 'MAXLEN', '~', KICKS_KEPT, '*', 'player', id, 'match', kept[3], 'why', 'banned')
    end
  end
end

-- The newest lease that the store knows. What it was counted as went with the cache that is lost, or is behind.
local function merge_lease()
  local kept = redis.call('HMGET', key, 'stamp', 'fence', 'lease_state')
  local state, was, same = row.outcome or 'held', kept[3], kept[2] == row.fence
  local fence, stamp = tonumber(row.fence), tonumber(kept[1] or '0')
  if same and (state == 'held' or state == was or was ~= 'held' and was ~= 'expired') then
    return
  elseif not same and fence <= stamp then
    return
  end
  if was == 'held' then
    redis.call('ZREM', leases, id)
  end
  local function count(name, by)
    redis.call('HINCRBY', counters, name, by)
  end
  if same and state == 'committed' then
    count('commits', 1)
    count('expired', was == 'expired' and -1 or 0)
  elseif was == 'held' then
    count('expired', 1)
  end
  if same and state == 'closed' then
    count('closed', 1)
  end
  stamp = math.max(stamp, fence, tonumber(row.ended_ms or '0'))
  redis.call('HSET', key, 'stamp', string.format('%.0f', stamp), 'fence', row.fence, 'lease_match', row.match_id,
    'lease_server', row.server or '', 'lease_until', row.lease_until_ms or '0', 'lease_state', state)
  if state == 'held' then
    if redis.call('ZADD', leases, row.lease_until_ms or '0', id) == 1 then
      count('checkouts', 1)  -- it went with the lease
    end
  end
end

-- What the store says of the account as a whole: its name and the ways to log in to it.
local function merge_account()
  local version = tonumber(row.account_version or '0')
  if version < tonumber(redis.call('HGET', key, 'account_version') or '0') then
    return
  end
  if row.device then
    redis.call('HSET', key, 'device', row.device)
  end
  if row.display_name and (row.device or redis.call('HEXISTS', key, 'skin') == 1) then
    redis.call('HSET', key, 'display_name', row.display_name)
  end
  if version > 0 then
    redis.call('HSET', key, 'account_version', row.account_version)
    local linked = row.logins or {}
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local login = string.match(field, '^login:(%x+)$')
      if login and not linked[login] then
        redis.call('HDEL', key, field)
      end
    end
    for login, kind in pairs(linked) do
      redis.call('HSET', key, 'login:' .. login, kind)
    end
  end
end

-- The player was deleted: a mark is left for a while, at which logins and late changes turn back.
local function erase()
  local kept = redis.call('HMGET', key, 'erased', 'session_id', 'session_state', 'session_rotated', 'lease_state',
    'lease_match')
  if not kept[1] then
    if kept[5] == 'held' and redis.call('ZREM', leases, id) == 1 then
      redis.call('HINCRBY', counters, 'expired', 1)
      redis.call('XADD', kicks, 'MAXLEN', '~', KICKS_KEPT, '*', 'player', id, 'match', kept[6], 'why', 'revoked')
    end
    if kept[3] == 'live' then
      redis.call('XADD', ends, '*', 'player', id, 'at', ARGV[2], 'why', 'revoked')
      tell_revocation(kept[2], 'revoked', kept[4])
    end
  end
  redis.call('DEL', key)
  redis.call('HSET', key, 'erased', '1', 'session_state', 'erased', 'loaded', ARGV[4])
  redis.call('EXPIRE', key, ARGV[5])
end

if row.erased then
  erase()
  return 0
end
if row.device or tonumber(row.account_version or '0') > 0 then
  merge_account()
end
if row.device then
  redis.call('HSETNX', key, 'skin', row.skin)
  redis.call('HSETNX', key, 'xp', '0')
  redis.call('HSETNX', key, 'level', '1')
  if newer_loadout() then
    redis.call('HSET', key, 'skin', row.skin, 'emotes', row.emotes, 'settings', row.settings,
      'loadout_version', row.loadout_version, 'loadout_region', row.loadout_region)
  end
end
-- What other services wrote may precede the account, so it is kept whether the account is known or not.
if row.xp and tonumber(row.xp) >= tonumber(redis.call('HGET', key, 'xp') or '0') then
  redis.call('HSET', key, 'xp', row.xp, 'level', row.level)
end
for mode, rating in pairs(row.ratings or {}) do
  local value, matches = string.match(rating, '^(.*),(%d+)$')
  if tonumber(matches) >= tonumber(redis.call('HGET', key, 'rated:' .. mode) or '0') then
    redis.call('HSET', key, 'rating:' .. mode, value, 'rated:' .. mode, matches)
  end
end
for currency, wallet in pairs(row.wallets or {}) do
  local shown = redis.call('HGET', key, 'wallet:' .. currency)
  local version = function(text) return tonumber(string.match(text, ',(%d+)$')) end
  if not shown or version(wallet) > version(shown) then
    redis.call('HSET', key, 'wallet:' .. currency, wallet)
  end
end
for item, owned in pairs(row.items or {}) do
  local shown = redis.call('HGET', key, 'own:' .. item)
  local version = function(text) return tonumber(string.match(text, ',(%d+)$')) end
  if not shown or version(owned) > version(shown) then
    redis.call('HSET', key, 'own:' .. item, owned)
    if shown and string.sub(owned, 1, 2) == '0,' then
      redis.call('HDEL', key, 'worn_check')  -- taken, elsewhere: the next check-out looks
    end
  end
end
if row.session_id then
  merge_session()
end
if row.fence then
  merge_lease()
end
if row.ban then
  merge_ban()
end
if epoch >= tonumber(redis.call('HGET', key, 'loaded') or '0') then
  redis.call('HSET', key, 'loaded', ARGV[4])
end
if redis.call('HGET', key, 'lease_state') == 'held' then
  redis.call('PERSIST', key)
elseif life ~= -1 then
  redis.call('EXPIRE', key, ARGV[5])
end
return redis.call('HEXISTS', key, 'skin')
