-- Cancel a player's ticket if nobody has been found for it yet.
-- ARGV: id, player. Answers the state that it found before, or nil where the player has no such ticket.
local id, player = ARGV[1], ARGV[2]
local owner, mode, state = unpack(redis.call('HMGET', KEY.ticket .. id, 'player', 'mode', 'state'))
if owner ~= player then
  return false
end
if state == 'searching' then
  local view = ended_view(id, 'cancelled', 'cancelled by the player')
  finish(id, 'cancelled', 'cancelled by the player', view)
  redis.call('HINCRBY', KEY.books, 'cancelled', 1)
  redis.call('XADD', KEY.queue .. mode, '*', 'gone', id)
  tell({ id, view })
end
return state
