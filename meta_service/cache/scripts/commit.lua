-- Commit one player's result of a match and release the lease. Repeating it changes nothing and says the same.
-- KEYS  counters, leases, write-behind stream, players to be settled, the player
-- ARGV  player id, fence, placement, kills, played (s), when the match ended by its server's word (ms), match id,
--       now (ms), request id as JSON, the cache's epoch (-1: whatever the player was loaded in)
-- Returns the reason for a refusal, empty for a player who is committed.
-- "not-loaded": the cache has no such lease, but the store, which was not asked in this epoch, may have one.
-- A lease that expired but that nobody has taken since may still be committed: the fence alone decides. One
-- whose match was closed may not.
local key, id, fence, match, now = KEYS[5], ARGV[1], ARGV[2], ARGV[7], ARGV[8]
local player = redis.call('HMGET', key, 'stamp', 'fence', 'lease_match', 'lease_state', 'committed', 'loaded')
local done, before = fence .. ':' .. match .. ';', player[5] or ''
if string.find(before, done, 1, true) then
  return ''  -- committed before; the player may be in another match by now
elseif player[2] and tonumber(fence) < tonumber(player[2]) then
  return 'stale-fence'
elseif fence ~= player[2] or player[3] ~= match then
  if tonumber(player[6] or '-1') < tonumber(ARGV[10]) then
    return 'not-loaded'
  end
  return player[2] and 'foreign-fence' or 'not-checked-out'
elseif player[4] == 'closed' then
  return 'stale-fence'
elseif player[4] == 'committed' then
  return ''
end
local stamp = string.format('%.0f', math.max(tonumber(now), tonumber(player[1]) + 1))
-- The last four commits are remembered, so that an answer that was lost can be had again in the next match.
local kept = string.match(before, '^[^;]*;?[^;]*;?[^;]*;?')
redis.call('HSET', key, 'stamp', stamp, 'lease_state', 'committed', 'committed', done .. kept)
redis.call('ZREM', KEYS[2], id)
redis.call('PERSIST', key)
redis.call('ZADD', KEYS[4], now, id)
redis.call('HINCRBY', KEYS[1], 'commits', 1)
if player[4] == 'expired' then
  redis.call('HINCRBY', KEYS[1], 'expired', -1)
end
redis.call('XADD', KEYS[3], '*', 'commit', '{"match_id":"' .. match .. '","request_id":' .. ARGV[9]
  .. ',"players":[["' .. table.concat(
  {id, fence, stamp, ARGV[3], ARGV[4], ARGV[5], ARGV[6]}, '","') .. '"]]}')
return ''
