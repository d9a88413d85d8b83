-- Check players out for a match: each gets a lease with a fencing token, or a refusal.
-- The whole match in one call.
-- KEYS  counters, leases, write-behind stream, then one player hash each
-- ARGV  match id, server, region, now (ms), lease until (ms), request id, then the player ids
-- Returns one {id, fence, skin, level} or {id, 0, reason, holder} a player.
-- The fence is the time of the check-out in milliseconds, moved past the player's last stamp: it grows
-- whatever clocks do, and the store can tell which check-outs precede which commits in whatever order they
-- reach it.
local match, server, region, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local answers, opened, expired = {}, {}, {}

for index = 4, #KEYS do
  local key, id = KEYS[index], ARGV[index + 3]
  local player = redis.call('HMGET', key, 'skin', 'level', 'stamp', 'fence',
    'lease_match', 'lease_server', 'lease_until', 'lease_state')
  local skin, level, fence, holder, state = player[1], player[2], player[4], player[6], player[8]
  local held = state == 'held' and tonumber(player[7]) > now
  if not skin then
    answers[#answers + 1] = {id, 0, 'unknown-player', ''}
  elseif state == 'committed' and player[5] == match then
    answers[#answers + 1] = {id, 0, 'already-committed', holder}
  elseif held and not (player[5] == match and holder == server) then
    answers[#answers + 1] = {id, 0, 'checked-out', holder}
  else
    if held then  -- the same server asks again: it lost our answer
      redis.call('HSET', key, 'lease_until', ARGV[5])
    else
      if state == 'held' then
        expired[#expired + 1] = {id, fence, player[5]}
      end
      fence = string.format('%.0f', math.max(now, tonumber(player[3] or '0') + 1))
      redis.call('HSET', key, 'stamp', fence, 'fence', fence, 'lease_match', match, 'lease_server', server,
        'lease_until', ARGV[5], 'lease_state', 'held')
      opened[#opened + 1] = {id, fence}
    end
    redis.call('ZADD', KEYS[2], ARGV[5], id)
    answers[#answers + 1] = {id, tonumber(fence), skin, level}
  end
end

if #expired > 0 then
  redis.call('HINCRBY', KEYS[1], 'expired', #expired)
  redis.call('XADD', KEYS[3], '*', 'expiry', cjson.encode({ended_ms = ARGV[4], players = expired}))
end
if #opened > 0 then
  redis.call('HINCRBY', KEYS[1], 'checkouts', #opened)
  redis.call('XADD', KEYS[3], '*', 'checkout', cjson.encode({
    match_id = match, server = server, region = region, lease_until_ms = ARGV[5], request_id = ARGV[6],
    players = opened
  }))
end
return answers
