-- A player says yes to the match that was found. ARGV: id, player, now.
-- Answers the state that it found before, or nil where the player has no such ticket.
local id, player, now = ARGV[1], ARGV[2], ARGV[3]
local owner, mode, state, match, accept_by =
  unpack(redis.call('HMGET', KEY.ticket .. id, 'player', 'mode', 'state', 'match', 'accept_by'))
if owner ~= player then
  return false
end
if state == 'proposed' and accept_by and tonumber(now) <= tonumber(accept_by) then
  redis.call('HSET', KEY.ticket .. id, 'state', 'accepted')
  redis.call('HINCRBY', KEY.accepted .. mode, match, 1)
end
return state
