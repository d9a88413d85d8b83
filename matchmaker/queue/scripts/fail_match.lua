-- End the tickets of a proposed match that can never get a server. ARGV: mode, fence, match id, reason;
-- the tickets are named.
-- Answers 1, or 0 where the match is not proposed (any more).
local mode, fence, match, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not leads(mode, fence) then
  return STALE
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return 0
end
redis.call('HDEL', KEY.accepted .. mode, match)
local views = {}
for _, id in ipairs(named_tickets()) do
  views[#views + 1] = id
  views[#views + 1] = ended_view(id, 'failed', reason)
end
finish(mode, 'failed', views)
return 1
