-- Cancel a player's ticket, and with it those of the party. One whose match is getting its server is marked: it
-- ends instead of searching again. Where the match waits for its players to accept it, that is a no: it is given
-- up, and the ticket ends with it.
-- ARGV: id, player. Answers the state that it found before, 'marked' where it marked the ticket, or nil where
-- the player has no such ticket.
local id, player = ARGV[1], ARGV[2]
local owner, mode, state, match = unpack(redis.call('HMGET', KEY.ticket .. id, 'player', 'mode', 'state', 'match'))
if owner ~= player then
  return false
end
if is_live(state) then
  reach({ id }, true)
  if lacks_keys() then
    return missing
  end
end
if state == 'searching' then
  end_searching(mode, 'cancelled', BY_PLAYER, { id })
  if redis.call('HGET', KEY.ticket .. id, 'state') == 'searching' then
    return 'proposed' -- one of the party has been found a match already
  end
elseif is_live(state) then
  redis.call('HSET', KEY.ticket .. id, 'cancel', '1')
  give_up_declined(mode, match)
  return 'marked'
end
return state
