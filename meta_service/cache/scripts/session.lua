-- Open a session and thereby end the one before, exchange a refresh token, or end a session.
-- KEYS  write-behind stream, players to be settled, player hash
-- ARGV  what ("open", "refresh", "revoke"), player id, session id (revoke: empty for whichever is live),
--       now (ms), the cache's epoch (empty: whatever it was loaded in), region, request id, then for refresh: the
--       token's generation, how long its predecessor may be repeated (ms)
-- Returns {outcome, generation}; outcomes: ok, stale (the store may know better), unknown (the cache knows of no
-- session), superseded, revoked, reused.
-- The version grows with every change whatever clocks do, so the store keeps the newest in whatever order
-- they arrive; of two sessions it keeps the one that was opened later, and one that was ended stays so.
local stream, unsettled, key = KEYS[1], KEYS[2], KEYS[3]
local what, id, asked, now, epoch = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local session = redis.call('HMGET', key, 'session_id', 'session_generation', 'session_state', 'session_version',
  'session_rotated', 'session_opened', 'loaded')
local current = tonumber(session[2] or '0')

local function write(session_id, generation, state, opened)
  local version = string.format('%.0f', math.max(now, tonumber(session[4] or '0') + 1))
  opened = opened or version
  redis.call('HSET', key, 'session_id', session_id, 'session_generation', generation, 'session_state', state,
    'session_version', version, 'session_rotated', ARGV[4], 'session_opened', opened, 'home', ARGV[6])
  redis.call('PERSIST', key)
  redis.call('ZADD', unsettled, ARGV[4], id)
  redis.call('XADD', stream, '*', 'session', cjson.encode({
    player_id = id, session_id = session_id, generation = generation, state = state, opened = opened,
    version = version, region = ARGV[6], request_id = ARGV[7]
  }))
end

if what == 'open' then
  write(asked, 0, 'live')
  return {'ok', 0}
elseif epoch ~= '' and session[1] and tonumber(session[7] or '-1') < tonumber(epoch) then
  return {'stale', 0}
elseif not session[1] then
  return {'unknown', 0}
elseif asked ~= '' and asked ~= session[1] then
  return {'superseded', 0}
elseif session[3] == 'revoked' then
  return {'revoked', 0}
end
local opened = session[6] or '0'
if what == 'revoke' then
  write(session[1], current, 'revoked', opened)
  return {'ok', current}
end

local generation = tonumber(ARGV[8])
if generation > current and epoch ~= '' then
  return {'stale', 0}  -- we signed it, so this cache has forgotten an exchange
elseif generation >= current then
  write(asked, generation + 1, 'live', opened)
  return {'ok', generation + 1}
elseif generation == current - 1 and now - tonumber(session[5]) <= tonumber(ARGV[9]) then
  return {'ok', current}  -- the answer was lost and the player asks again
end
write(session[1], current, 'revoked', opened)
return {'reused', 0}
