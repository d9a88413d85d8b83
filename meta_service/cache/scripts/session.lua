-- Open a session and thereby end the one before, exchange a refresh token, note that a token was used, or end a
-- session.
-- KEYS  write-behind stream, players to be settled, player hash, sessions' ends, revocations
-- ARGV  what ("open", "refresh", "seen", "revoke"), player id, session id (revoke: empty for whichever is live),
--       now (ms), the cache's epoch (empty: whatever it was loaded in), region, request id, how long a session's
--       last access token may live (ms), then for refresh and seen: the token's generation, and for refresh: how
--       long its predecessor may be repeated (ms)
-- Returns {outcome, generation}; outcomes: ok, stale (the store may know better), unknown (the cache knows of no
-- session), superseded, revoked, reused, banned.
-- The version grows with every change whatever clocks do, so the store keeps the newest in whatever order
-- they arrive; of two sessions it keeps the one that was opened later, and one that was ended stays so.
-- session_seen is the newest generation of which a token was used: whoever uses an older refresh token after that
-- has a copy.
local ENDS_KEPT_MS = 3600000 -- longer than any ticket waits
local stream, unsettled, key, ends, revocations = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local what, id, asked, now, epoch = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local session = redis.call('HMGET', key, 'session_id', 'session_generation', 'session_state', 'session_version',
  'session_rotated', 'session_opened', 'loaded', 'session_seen',
  'ban')
local current, seen = tonumber(session[2] or '0'), tonumber(session[8] or '0')

local function write(session_id, generation, state, used, opened, rotated)
  local version = string.format('%.0f', math.max(now, tonumber(session[4] or '0') + 1))
  opened = opened or version
  redis.call('HSET', key, 'session_id', session_id, 'session_generation', generation, 'session_state', state,
    'session_version', version, 'session_rotated', rotated, 'session_opened', opened, 'session_seen', used,
    'home', ARGV[6])
  redis.call('PERSIST', key)
  redis.call('ZADD', unsettled, ARGV[4], id)
  redis.call('XADD', stream, '*', 'session', cjson.encode({
    player_id = id, session_id = session_id, generation = generation, state = state, seen = used, opened = opened,
    version = version, region = ARGV[6], request_id = ARGV[7]
  }))
end

-- The matchmaker follows both streams. They are trimmed by the ids that the cache itself gives.
local function trim(entries, newest, kept_ms)
  local kept_since = tonumber(string.match(newest, '^%d+')) - kept_ms
  redis.call('XTRIM', entries, 'MINID', '~', string.format('%.0f', math.max(0, kept_since)))
end

-- The session that there is opens nothing any more: told where one of its access tokens may still live.
local function tell_revocation(why)
  local life = tonumber(ARGV[8])
  if session[1] and tonumber(session[5] or '0') + life > now then
    local entry = redis.call('XADD', revocations, '*', 'player', id, 'session', session[1], 'why', why,
      'at', ARGV[4], 'until', string.format('%.0f', now + life), 'reason', '')
    trim(revocations, entry, math.max(life, ENDS_KEPT_MS))
  end
end

local function tell_end(why)
  trim(ends, redis.call('XADD', ends, '*', 'player', id, 'at', ARGV[4], 'why', why), ENDS_KEPT_MS)
  if session[3] == 'live' then
    tell_revocation(why)
  end
end

local ban_ends = session[9] and tonumber(string.match(session[9], '^%d+,(-?%d+)'))
local banned = ban_ends and (ban_ends == 0 or ban_ends > now)
if what == 'open' then
  if epoch ~= '' and tonumber(session[7] or '-1') < tonumber(epoch) then
    return {'stale', 0}  -- the store may know of a ban
  elseif banned then
    return {'banned', 0}
  elseif session[3] == 'live' then
    tell_revocation('superseded')
  end
  write(asked, 0, 'live', 0, nil, ARGV[4])
  return {'ok', 0}
elseif what == 'seen' then
  local used = tonumber(ARGV[9])
  if asked ~= session[1] or session[3] ~= 'live' or used <= seen then
    return {'unknown', 0}
  end
  write(asked, math.max(current, used), 'live', used, session[6] or '0', session[5] or '0')
  return {'ok', current}
elseif epoch ~= '' and session[1] and tonumber(session[7] or '-1') < tonumber(epoch) then
  return {'stale', 0}
end
if what == 'revoke' and asked == '' and session[3] ~= 'live' and (session[1] or epoch == '') then
  tell_end('revoked') -- a device that was superseded may have made a ticket since
end
if what == 'refresh' and banned then
  return {'banned', 0}
elseif not session[1] then
  return {'unknown', 0}
elseif asked ~= '' and asked ~= session[1] then
  return {'superseded', 0}
elseif session[3] == 'revoked' then
  return {'revoked', 0}
end
local opened, rotated = session[6] or '0', session[5] or '0'
if what == 'revoke' then
  write(session[1], current, 'revoked', seen, opened, rotated)
  tell_end(asked == '' and 'revoked' or 'logged-out')
  return {'ok', current}
end

local generation = tonumber(ARGV[9])
if generation >= seen then
  if generation > current and epoch ~= '' then
    return {'stale', 0}  -- we signed it, so this cache has forgotten an exchange
  elseif generation >= current then
    write(asked, generation + 1, 'live', generation, opened, ARGV[4])
    return {'ok', generation + 1}
  elseif generation == current - 1 and now - tonumber(rotated) <= tonumber(ARGV[10]) then
    return {'ok', current}  -- the answer was lost: nobody has used what was in it
  end
end
write(session[1], current, 'revoked', seen, opened, rotated)
tell_end('reused')
return {'reused', 0}
