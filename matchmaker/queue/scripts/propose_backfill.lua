-- Claim tickets and reserve slots of a running match for them, all or none; kept so that any director can
-- finish it.
-- ARGV: mode, fence, proposal id, match id, claim (JSON), players (JSON, what the server is sent),
-- entities (JSON). The tickets are named.
-- Answers the places (from 0) of the tickets that are not searching; {-1} where the slots are not free
-- (any more).
local mode, fence, id, key = ARGV[1], ARGV[2], ARGV[3], KEY.open_match .. ARGV[4]
if not leads(mode, fence) then
  return STALE
end
local gone = not_searching()
if #gone > 0 then
  return gone
end
local requested, entities = {}, cjson.decode(ARGV[7])
for _, entity in ipairs(cjson.decode(redis.call('HGET', key, 'slots') or '[]')) do
  requested[entity] = true
end
local free = is_heard(key) and redis.call('HGET', key, 'over') == ''
for _, entity in ipairs(entities) do
  free = free and requested[entity] and redis.call('HEXISTS', key, 'slot:' .. entity) == 0
end
if not free then
  return { -1 }
end
for i = 1, TICKETS do
  redis.call('HSET', KEYS[i], 'state', 'proposed')
end
for _, entity in ipairs(entities) do
  redis.call('HSET', key, 'slot:' .. entity, id)
end
redis.call('HSET', key, 'state:' .. id, 'reserved', 'players:' .. id, ARGV[6], 'slots:' .. id, ARGV[7])
redis.call('HSET', KEY.claims .. mode, id, ARGV[5])
return {}
