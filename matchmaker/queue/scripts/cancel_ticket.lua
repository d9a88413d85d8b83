-- Cancel a player's ticket, and with it those of the party, if nobody has been found for it yet.
-- ARGV: id, player. Answers the state that it found before, or nil where the player has no such ticket.
local id, player = ARGV[1], ARGV[2]
local owner, mode, state = unpack(redis.call('HMGET', KEY.ticket .. id, 'player', 'mode', 'state'))
if owner ~= player then
  return false
end
if state == 'searching' then
  end_searching(mode, 'cancelled', 'cancelled by the player', { id })
  if redis.call('HGET', KEY.ticket .. id, 'state') == 'searching' then
    return 'proposed' -- one of the party has been found a match already
  end
end
return state
