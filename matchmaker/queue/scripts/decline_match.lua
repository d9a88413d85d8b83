-- Give a proposed match up because not all of its players accepted: those who did, with their whole party,
-- search again with their age; the others' tickets end. Before the time to accept is over only those end who
-- said no. ARGV: mode, fence, match id, ids. Answers the places (from 0) of the tickets that ended, or {-1}
-- where players could not be heard for a while, and have more time.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not leads(mode, fence) then
  return STALE
end
local ids, views, places = ids_of(ARGV[4]), {}, {}
local accept_by = tonumber(redis.call('HGET', KEY.ticket .. ids[1], 'accept_by') or '0')
local late = NOW > accept_by
if late and not attended() then
  return { -1 }
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return {}
end
redis.call('HDEL', KEY.accepted .. mode, match)
for i, id in ipairs(ids) do
  local reason
  for _, each in ipairs(with_party(id)) do
    local state, cancel = unpack(redis.call('HMGET', KEY.ticket .. each, 'state', 'cancel'))
    if cancel or state == 'cancelled' then
      reason = cancel_reason(cancel)
    elseif late and state == 'proposed' then
      reason = reason or 'the match was not accepted in time'
    end
  end
  if reason then
    views[#views + 1] = id
    views[#views + 1] = ended_view(id, 'cancelled', reason)
    places[#places + 1] = i - 1
  end
end
local ended = {}
for _, place in ipairs(places) do
  ended[place] = true
end
for i, id in ipairs(ids) do
  if not ended[i - 1] then
    redis.call('HSET', KEY.ticket .. id, 'state', 'searching')
    redis.call('HDEL', KEY.ticket .. id, 'match', 'accept_by')
  end
end
finish(mode, 'cancelled', views)
return places
