-- Give the tickets of a proposal back to the search, with their age, and its slots to others.
-- ARGV: mode, fence, proposal id, match id, ids.
-- Answers 1; 0 while the server may have admitted the players: it will say so, or fall silent.
local mode, fence, id, key = ARGV[1], ARGV[2], ARGV[3], KEY.open_match .. ARGV[4]
if not leads(mode, fence) then
  return STALE
end
local state = is_heard(key) and redis.call('HGET', key, 'state:' .. id)
if state == 'offered' or state == 'admitted' then
  return 0
end
if redis.call('HDEL', KEY.claims .. mode, id) == 1 then
  for _, ticket in ipairs(ids_of(ARGV[5])) do
    redis.call('HSET', KEY.ticket .. ticket, 'state', 'searching')
  end
  remove_proposal(key, id)
end
return 1
