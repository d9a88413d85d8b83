-- End the tickets of a proposed match that can never get a server. ARGV: mode, fence, match id, reason, ids.
-- Answers 1, or 0 where the match is not proposed (any more).
local mode, fence, match, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not in_office(mode, fence) then
  return STALE
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return 0
end
local views = {}
for i = 5, #ARGV do
  local id = ARGV[i]
  local view = ended_view(id, 'failed', reason)
  finish(id, 'failed', reason, view)
  views[#views + 1] = id
  views[#views + 1] = view
end
redis.call('HINCRBY', KEY.books, 'failed', #views / 2)
tell(views)
return 1
