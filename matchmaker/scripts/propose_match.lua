-- Claim all tickets of a match, or none; the match is kept so that any director can finish it.
-- ARGV: mode, fence, match id, proposal, ids. Answers the places (from 0) of the tickets that are not searching.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not in_office(mode, fence) then
  return STALE
end
local gone = {}
for i = 5, #ARGV do
  if redis.call('HGET', KEY.ticket .. ARGV[i], 'state') ~= 'searching' then
    gone[#gone + 1] = i - 5
  end
end
if #gone == 0 then
  for i = 5, #ARGV do
    redis.call('HSET', KEY.ticket .. ARGV[i], 'state', 'proposed', 'match', match)
  end
  redis.call('HSET', KEY.proposals .. mode, match, ARGV[4])
end
return gone
