-- Claim tickets and reserve seats of a running match for them, all or none; kept so that any director can finish it.
-- ARGV: mode, fence, joining id, match id, joining (JSON), players (JSON, what the server is told), entities (JSON), ids.
-- Answers the places (from 0) of the tickets that are not searching; {-1} where the seats are not free (any more).
local mode, fence, id, key = ARGV[1], ARGV[2], ARGV[3], KEY.opening .. ARGV[4]
if not in_office(mode, fence) then
  return STALE
end
local ids, gone = ids_of(ARGV[8]), {}
for i, ticket in ipairs(ids) do
  if redis.call('HGET', KEY.ticket .. ticket, 'state') ~= 'searching' then
    gone[#gone + 1] = i - 1
  end
end
if #gone > 0 then
  return gone
end
local offered, entities = {}, cjson.decode(ARGV[7])
for _, entity in ipairs(cjson.decode(redis.call('HGET', key, 'seats') or '[]')) do
  offered[entity] = true
end
local free = is_heard(key) and redis.call('HGET', key, 'over') == ''
for _, entity in ipairs(entities) do
  free = free and offered[entity] and redis.call('HEXISTS', key, 'e:' .. entity) == 0
end
if not free then
  return { -1 }
end
for _, ticket in ipairs(ids) do
  redis.call('HSET', KEY.ticket .. ticket, 'state', 'proposed')
end
for _, entity in ipairs(entities) do
  redis.call('HSET', key, 'e:' .. entity, id)
end
redis.call('HSET', key, 'j:' .. id, 'reserved', 'p:' .. id, ARGV[6], 's:' .. id, ARGV[7])
redis.call('HSET', KEY.joinings .. mode, id, ARGV[5])
return {}
