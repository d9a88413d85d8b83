-- Give a proposed match up because not all of its players accepted: those who did, with their whole party,
-- search again with their age; the others' tickets end. ARGV: mode, fence, match id, ids. Answers the
-- places (from 0) of the tickets that ended.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not leads(mode, fence) then
  return STALE
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return {}
end
redis.call('HDEL', KEY.accepted .. mode, match)
local ids, views, places = ids_of(ARGV[4]), {}, {}
for i, id in ipairs(ids) do
  local willing = true
  for _, each in ipairs(with_party(id)) do
    local state = redis.call('HGET', KEY.ticket .. each, 'state')
    willing = willing and state ~= 'proposed' and state ~= 'cancelled'
  end
  if not willing then
    views[#views + 1] = id
    views[#views + 1] = ended_view(id, 'cancelled', 'the match was not accepted in time')
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
