-- End a player's lease of a match that was closed, and mark the player, so that a check-out which passed the
-- match's key before its tombstone stood is refused here.
-- KEYS  counters, leases, write-behind stream, players to be settled, the player
-- ARGV  player id, match id, now (ms), until when the mark is needed (ms), the cache's epoch (empty: whatever the
--       player was loaded in)
-- Returns 'closed', or 'not-loaded' where only the store could know of a lease, or 'unknown'.
-- Marks are one field, "match:until;match:until": a player may be in a second closed match before the first
-- one's check-out arrives. Each close drops those whose time is over.
local key, id, match, now = KEYS[5], ARGV[1], ARGV[2], tonumber(ARGV[3])
local player = redis.call('HMGET', key, 'skin', 'loaded', 'stamp', 'fence', 'lease_match', 'lease_state', 'closed')
if ARGV[5] ~= '' and tonumber(player[2] or '-1') < tonumber(ARGV[5]) then
  return 'not-loaded'
elseif not player[1] then
  return ARGV[5] == '' and 'not-loaded' or 'unknown'
end

local marks = {}
for closed, until_ms in string.gmatch(player[7] or '', '([^:;]+):(%d+)') do
  if closed ~= match and tonumber(until_ms) > now then
    marks[#marks + 1] = closed .. ':' .. until_ms
  end
end
marks[#marks + 1] = match .. ':' .. ARGV[4]
redis.call('HSET', key, 'closed', table.concat(marks, ';'))
redis.call('PERSIST', key)
redis.call('ZADD', KEYS[4], ARGV[3], id)

local state = player[6]
if player[5] == match and (state == 'held' or state == 'expired') then
  -- The fence of the closed lease stays: the state makes its commits stale, in the store as well.
  local stamp = string.format('%.0f', math.max(now, tonumber(player[3]) + 1))
  redis.call('HSET', key, 'stamp', stamp, 'lease_state', 'closed')
  redis.call('ZREM', KEYS[2], id)
  redis.call('HINCRBY', KEYS[1], 'closed', 1)
  if state == 'held' then
    redis.call('HINCRBY', KEYS[1], 'expired', 1)
  end
  redis.call('XADD', KEYS[3], '*', 'close', cjson.encode({ended_ms = stamp, players = {{id, player[4], match}}}))
end
return 'closed'
