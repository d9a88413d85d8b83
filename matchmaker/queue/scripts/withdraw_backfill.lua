-- Give the tickets of a joining back to the search, with their age, and its seats to others.
-- ARGV: mode, fence, joining id, match id, ids. Answers 1; 0 while the server may have let the players in: it will say, or fall silent.
local mode, fence, id, key = ARGV[1], ARGV[2], ARGV[3], KEY.opening .. ARGV[4]
if not in_office(mode, fence) then
  return STALE
end
local state = is_heard(key) and redis.call('HGET', key, 'j:' .. id)
if state == 'told' or state == 'seated' then
  return 0
end
if redis.call('HDEL', KEY.joinings .. mode, id) == 1 then
  for _, ticket in ipairs(ids_of(ARGV[5])) do
    redis.call('HSET', KEY.ticket .. ticket, 'state', 'searching')
  end
  forget(key, id)
end
return 1
