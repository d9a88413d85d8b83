-- Open a session and thereby end the one before, exchange a refresh token, or end a session.
-- KEYS  player hash, write-behind stream
-- ARGV  what ("open", "refresh", "revoke"), player id, session id (revoke: empty for whichever is live),
--       now (ms), region, request id, then for refresh: the token's generation, how long its predecessor
--       may be repeated (ms)
-- Returns {outcome, generation}; outcomes: ok, unknown (the cache knows of no session), superseded,
-- revoked, reused.
-- The version grows with every change whatever clocks do, so the store keeps the newest in whatever order
-- they arrive.
local what, id, asked, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local session = redis.call('HMGET', KEYS[1],
  'session_id', 'session_generation', 'session_state', 'session_version', 'session_rotated')
local current = tonumber(session[2] or '0')

local function write(session_id, generation, state)
  local version = string.format('%.0f', math.max(now, tonumber(session[4] or '0') + 1))
  redis.call('HSET', KEYS[1], 'session_id', session_id, 'session_generation', generation, 'session_state', state,
    'session_version', version, 'session_rotated', ARGV[4], 'home', ARGV[5])
  redis.call('XADD', KEYS[2], '*', 'session', cjson.encode({
    player_id = id, session_id = session_id, generation = generation, state = state, version = version,
    region = ARGV[5], request_id = ARGV[6]
  }))
end

if what == 'open' then
  write(asked, 0, 'live')
  return {'ok', 0}
elseif not session[1] then
  return {'unknown', 0}
elseif asked ~= '' and asked ~= session[1] then
  return {'superseded', 0}
elseif session[3] == 'revoked' then
  return {'revoked', 0}
elseif what == 'revoke' then
  write(session[1], current, 'revoked')
  return {'ok', current}
end

local generation = tonumber(ARGV[7])
if generation == current then
  write(asked, current + 1, 'live')
  return {'ok', current + 1}
elseif generation == current - 1 and now - tonumber(session[5]) <= tonumber(ARGV[8]) then
  return {'ok', current}  -- the answer was lost and the player asks again
end
write(session[1], current, 'revoked')
return {'reused', 0}
