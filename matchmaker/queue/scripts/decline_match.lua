-- Give a proposed match up because not all of its players accepted: those who did, with their whole party,
-- search again with their age; the others' tickets end. Before the time to accept is over only those end who
-- said no. ARGV: mode, fence, match id; the tickets are named. Answers the places (from 0) of the tickets that ended, or {-1}
-- where players could not be heard for a while, and have more time.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not leads(mode, fence) then
  return STALE
end
local ids = named_tickets()
if redis.call('HEXISTS', KEY.proposals .. mode, match) == 0 then
  -- Given up already, when a player said no. Some of those who search again may have left since.
  redis.call('HDEL', KEY.accepted .. mode, match)
  return not_searching()
end
local accept_by = tonumber(redis.call('HGET', KEY.ticket .. ids[1], 'accept_by') or '0')
local late = NOW > accept_by
if late and not attended() then
  return { -1 }
end
reach(ids)
if lacks_keys() then
  return missing
end
redis.call('HDEL', KEY.accepted .. mode, match)
return close_unaccepted(mode, match, ids, late)
