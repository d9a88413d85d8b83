-- A player accepts the match that was found: as long as the match waits for them, for a service that was away
-- grants more time. ARGV: id, player.
-- Answers the state that it found before, or nil where the player has no such ticket.
local id, player = ARGV[1], ARGV[2]
local owner, mode, state, match, accept_by, cancel =
  unpack(redis.call('HMGET', KEY.ticket .. id, 'player', 'mode', 'state', 'match', 'accept_by', 'cancel'))
if owner ~= player then
  return false
end
if state == 'proposed' and accept_by and not cancel then
  if not is_named(KEY.accepted .. mode) then
    return missing
  end
  redis.call('HSET', KEY.ticket .. id, 'state', 'accepted')
  redis.call('HINCRBY', KEY.accepted .. mode, match, 1)
end
return state
