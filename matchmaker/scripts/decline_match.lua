-- Give a proposed match up because not all of its players accepted: those who did, with their whole party, search again with their
-- age; the others' tickets end. ARGV: mode, fence, match id, ids. Answers the places (from 0) of the tickets that ended.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not in_office(mode, fence) then
  return STALE
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return {}
end
redis.call('HDEL', KEY.accepted .. mode, match)
local views, places = {}, {}
for i = 4, #ARGV do
  local willing = true
  for _, each in ipairs(with_party(ARGV[i])) do
    local state = redis.call('HGET', KEY.ticket .. each, 'state')
    willing = willing and state ~= 'proposed' and state ~= 'cancelled'
  end
  if not willing then
    views[#views + 1] = ARGV[i]
    views[#views + 1] = ended_view(ARGV[i], 'cancelled', 'the match was not accepted in time')
    places[#places + 1] = i - 4
  end
end
local ended = {}
for _, place in ipairs(places) do
  ended[place] = true
end
for i = 4, #ARGV do
  if not ended[i - 4] then
    redis.call('HSET', KEY.ticket .. ARGV[i], 'state', 'searching')
    redis.call('HDEL', KEY.ticket .. ARGV[i], 'match', 'accept_by')
  end
end
finish(mode, 'cancelled', views)
return places
