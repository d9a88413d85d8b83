-- Give the tickets of a proposed match back to the search, with their age. ARGV: mode, fence, match id, ids.
-- Answers 1, or 0 where no such match was proposed (any more).
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not leads(mode, fence) then
  return STALE
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return 0
end
redis.call('HDEL', KEY.accepted .. mode, match)
for _, id in ipairs(ids_of(ARGV[4])) do
  redis.call('HSET', KEY.ticket .. id, 'state', 'searching')
  redis.call('HDEL', KEY.ticket .. id, 'match', 'accept_by')
end
return 1
