-- Claim all tickets of a match, or none; the match is kept so that any director can finish it.
-- ARGV: mode, fence, match id, proposal, until when players may accept ('' where they are not asked). The
-- tickets are named.
-- Answers the places (from 0) of the tickets that are not searching.
local mode, fence, match, accept_by = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
if not leads(mode, fence) then
  return STALE
end
local gone = not_searching()
if #gone > 0 then
  return gone
end
local views = {}
for i = 1, accept_by == '' and TICKETS or 0 do
  redis.call('HSET', KEYS[i], 'state', 'proposed')
end
for i, id in ipairs(accept_by == '' and {} or named_tickets()) do
  redis.call('HSET', KEYS[i], 'state', 'proposed', 'match', match, 'accept_by', accept_by)
  views[#views + 1] = id
  views[#views + 1] = string.format(PROPOSED_VIEW, id, accept_by)
end
redis.call('HSET', KEY.proposals .. mode, match, ARGV[4])
notify(views)
return gone
