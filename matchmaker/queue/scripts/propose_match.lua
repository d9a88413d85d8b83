-- Claim all tickets of a match, or none; the match is kept so that any director can finish it.
-- ARGV: mode, fence, match id, proposal, until when players may accept ('' where they are not asked). The
-- tickets are named.
-- Answers the places (from 0) of the tickets that are not searching.
local mode, fence, match, accept_by = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
if not leads(mode, fence) then
  return STALE
end
local ids = named_tickets()
local gone = not_searching(ids)
if #gone > 0 then
  return gone
end
local views = {}
for _, id in ipairs(ids) do
  if accept_by == '' then
    redis.call('HSET', KEY.ticket .. id, 'state', 'proposed')
  else
    redis.call('HSET', KEY.ticket .. id, 'state', 'proposed', 'match', match, 'accept_by', accept_by)
    views[#views + 1] = id
    views[#views + 1] = string.format(PROPOSED_VIEW, id, accept_by)
  end
end
redis.call('HSET', KEY.proposals .. mode, match, ARGV[4])
notify(views)
return gone
