-- A player declines the match that was found: it is given up, the ticket ends, and with it those of the party; the
-- others search again with their age. ARGV: id, player.
-- Answers 'declined', or the state that it found where no match waits for the player's yes or no, or nil where
-- the player has no such ticket.
local id, player = ARGV[1], ARGV[2]
local owner, mode, state, match, cancel =
  unpack(redis.call('HMGET', KEY.ticket .. id, 'player', 'mode', 'state', 'match', 'cancel'))
if owner ~= player then
  return false
end
if state ~= 'proposed' and state ~= 'accepted' then
  return state
end
reach({ id }, true)
if lacks_keys() then
  return missing
end
redis.call('HSETNX', KEY.ticket .. id, 'cancel', 'the match was declined')
if give_up_declined(mode, match) then
  return 'declined'
end
if not cancel then
  redis.call('HDEL', KEY.ticket .. id, 'cancel')
end
return state
