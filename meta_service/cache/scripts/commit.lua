-- Commit players' results of a match and release their leases. Repeating it changes nothing and says the
-- same.
-- KEYS  counters, leases, write-behind stream, the match's commits, then one player hash each
-- ARGV  match id, now (ms), how long to remember (s), request id, then id, fence, placement, kills, played
--       (s) of each player
-- Returns one {id, reason} a player; the reason is empty for a player who is committed.
-- "not-loaded": the cache has no lease, but the store, which was not asked yet, may have one.
-- A lease that expired but that nobody has taken since may still be committed: the fence alone decides.
local match, now = ARGV[1], tonumber(ARGV[2])
local answers, committed, late = {}, {}, 0

for index = 5, #KEYS do
  local key, at = KEYS[index], 5 + (index - 5) * 5
  local id, fence = ARGV[at], ARGV[at + 1]
  local player = redis.call('HMGET', key, 'stamp', 'fence', 'lease_match', 'lease_state')
  local reason = ''
  if redis.call('HGET', KEYS[4], id) == fence then
    -- Committed before. The player may be in another match by now.
  elseif not player[2] then
    reason = redis.call('HEXISTS', key, 'loaded') == 1 and 'not-checked-out' or 'not-loaded'
  elseif tonumber(fence) < tonumber(player[2]) then
    reason = 'stale-fence'
  elseif fence ~= player[2] or player[3] ~= match then
    reason = 'foreign-fence'
  elseif player[4] ~= 'committed' then
    if player[4] == 'expired' then
      late = late + 1
    end
    local stamp = string.format('%.0f', math.max(now, tonumber(player[1]) + 1))
    redis.call('HSET', key, 'stamp', stamp, 'lease_state', 'committed')
    redis.call('ZREM', KEYS[2], id)
    redis.call('HSET', KEYS[4], id, fence)
    committed[#committed + 1] = {id, fence, stamp, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]}
  end
  answers[#answers + 1] = {id, reason}
end

if #committed > 0 then
  redis.call('EXPIRE', KEYS[4], ARGV[3])
  redis.call('HINCRBY', KEYS[1], 'commits', #committed)
  redis.call('XADD', KEYS[3], '*', 'commit', cjson.encode({
    match_id = match, request_id = ARGV[4], players = committed
  }))
end
if late > 0 then
  redis.call('HINCRBY', KEYS[1], 'expired', -late)
end
return answers
