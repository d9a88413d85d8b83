-- Where players are asked to accept a match: giving it up because not all do. It comes before the scripts that can,
-- which have looked at all that it touches (reach() in shared.lua).
-- A player who says no has `cancel` in the ticket. As long as the match waits for anybody's yes, it is given up in the
-- same script, whoever leads the queue: nobody waits for a director that is busy or dead.

-- Give up a match that waits for its players: its tickets search again, with their age; those end that were cancelled,
-- and where the time to accept is over (late) those that were not accepted, each with the whole party.
-- The places (from 0) of those that ended.
local function close_unaccepted(mode, match, ids, late)
  redis.call('HDEL', KEY.proposals .. mode, match)
  local ended, ended_views, free_views, places = {}, {}, {}, {}
  for i, id in ipairs(ids) do
    local reason
    for _, each in ipairs(with_party(id)) do
      local state, cancel = unpack(redis.call('HMGET', KEY.ticket .. each, 'state', 'cancel'))
      if cancel or state == 'cancelled' then
        reason = cancel_reason(cancel)
        reason = each ~= id and reason == BY_PLAYER and BY_PARTY or reason
      elseif late and state == 'proposed' then
        reason = reason or 'the match was not accepted in time'
      end
    end
    if reason then
      ended[i] = true
      ended_views[#ended_views + 1] = id
      ended_views[#ended_views + 1] = ended_view(id, 'cancelled', reason)
      places[#places + 1] = i - 1
    end
  end
  for i, id in ipairs(ids) do
    local party = ended[i] and redis.call('HGET', KEY.ticket .. id, 'party')
    if party then
      end_party(party) -- it can queue again at once
    elseif not ended[i] then
      redis.call('HSET', KEY.ticket .. id, 'state', 'searching')
      redis.call('HDEL', KEY.ticket .. id, 'match', 'accept_by')
      free_views[#free_views + 1] = id
      free_views[#free_views + 1] = string.format(SEARCHING_VIEW, id)
    end
  end
  finish(mode, 'cancelled', ended_views)
  notify(free_views)
  return places
end

-- Somebody has said no to a match: give it up, unless all have accepted it. Whether it was given up.
-- Its director reads DECLINED, and asks which of its tickets have ended (decline_match.lua).
local function give_up_declined(mode, match)
  local ids = match and tickets_of_match(mode, match)
  if not ids then
    return false
  end
  local count = tonumber(redis.call('HGET', KEY.accepted .. mode, match) or '0')
  if count >= #ids or count <= tonumber(CLOSING) then
    return false -- it is getting its server, or is being closed
  end
  local accept_by = tonumber(redis.call('HGET', KEY.ticket .. ids[1], 'accept_by') or '0')
  close_unaccepted(mode, match, ids, NOW > accept_by and attended())
  redis.call('HSET', KEY.accepted .. mode, match, DECLINED)
  return true
end

-- Take a player's live ticket back, with those of the party, for a reason that is read. One that is on its way into a
-- match ends instead of searching again.
local function take_back(id, mode, state, reason)
  if state == 'searching' then
    end_searching(mode, 'cancelled', reason, { id })
  end
  for _, each in ipairs(with_party(id)) do
    local found, match = unpack(redis.call('HMGET', KEY.ticket .. each, 'state', 'match'))
    if is_live(found) and (each == id or found ~= 'searching') then
      redis.call('HSETNX', KEY.ticket .. each, 'cancel', reason)
      give_up_declined(mode, match)
    end
  end
end
