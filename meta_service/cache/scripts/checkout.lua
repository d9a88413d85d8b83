-- Check one player out for a match that was admitted: a lease with a fencing token, or a refusal.
-- KEYS  counters, leases, write-behind stream, players to be settled, the player
-- ARGV  player id, match id, server, region, now (ms), lease until (ms), request id as JSON, the cache's epoch
--       (empty: whatever the player was loaded in), the mark of what can be worn (empty: not known)
-- Returns {fence, skin, level} or {0, reason, holder}; after the level a 1 where it is to be looked at what the
-- player wears, see worn.lua.
-- The fence is the time of the check-out in milliseconds, moved past the player's last stamp: it grows
-- whatever clocks do, and the store can tell which check-outs precede which commits in whatever order they
-- reach it.
local key, id, match, server, now = KEYS[5], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local player = redis.call('HMGET', key, 'skin', 'level', 'stamp', 'fence',
  'lease_match', 'lease_server', 'lease_until', 'lease_state', 'closed', 'loaded', 'ban',
  'worn_check', 'loadout_version')
local skin, level, fence, leased, holder, state = player[1], player[2], player[4], player[5], player[6], player[8]

if not skin then
  return {0, 'unknown-player', ''}
elseif ARGV[8] ~= '' and tonumber(player[10] or '-1') < tonumber(ARGV[8]) then
  return {0, 'not-loaded', ''}  -- the store may know of a lease
elseif player[9] and string.find(player[9], match, 1, true) or state == 'closed' and leased == match then
  return {0, 'match-closed', ''}
elseif state == 'committed' and leased == match then
  return {0, 'already-committed', holder}
end
if player[11] and not (state == 'held' and tonumber(player[7]) > now) then
  local ban_ends = tonumber(string.match(player[11], '^%d+,(-?%d+)'))
  if ban_ends == 0 or ban_ends > now then
    return {0, 'banned', ''}
  end
end
local look = ARGV[9] ~= '' and player[12] ~= ARGV[9] .. ':' .. (player[13] or '') and 1 or nil
if state == 'held' then
  if tonumber(player[7]) > now then
    if leased ~= match or holder ~= server then
      return {0, 'checked-out', holder}
    end
    redis.call('HSET', key, 'lease_until', ARGV[6])  -- the same server asks again: it lost our answer
    redis.call('ZADD', KEYS[2], ARGV[6], id)
    return {tonumber(fence), skin, level, look}
  end
  redis.call('HINCRBY', KEYS[1], 'expired', 1)
  redis.call('XADD', KEYS[3], '*', 'expiry', cjson.encode({ended_ms = ARGV[5], players = {{id, fence, leased}}}))
end
fence = string.format('%.0f', math.max(now, tonumber(player[3] or '0') + 1))
redis.call('HSET', key, 'stamp', fence, 'fence', fence, 'lease_match', match, 'lease_server', server,
  'lease_until', ARGV[6], 'lease_state', 'held')
redis.call('PERSIST', key)
redis.call('ZADD', KEYS[2], ARGV[6], id)
redis.call('HINCRBY', KEYS[1], 'checkouts', 1)
-- Put together here, at a third of cjson's price: none of these texts has anything to escape.
redis.call('XADD', KEYS[3], '*', 'checkout', '{"match_id":"' .. match .. '","server":"' .. server
  .. '","region":"' .. ARGV[4] .. '","lease_until_ms":' .. ARGV[6] .. ',"request_id":' .. ARGV[7]
  .. ',"players":[["' .. id .. '","' .. fence .. '"]]}')
return {tonumber(fence), skin, level, look}
