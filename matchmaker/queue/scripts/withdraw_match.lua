-- Give the tickets of a proposed match back to the search, with their age; those whose players cancelled
-- meanwhile end. ARGV: mode, fence, match id, why the match was given up ('' where no server was spent on it), how many refusals at the check-out end a ticket ('0': its players were not refused), and the reason
-- that its player then reads; the tickets are named.
-- Answers {places (from 0) of the tickets that ended, the most refusals of one that searches}.
local mode, fence, match, why, most, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
if not leads(mode, fence) then
  return STALE
end
local ids = named_tickets()
local claimed = read_claimed(ids)
if most > 0 then
  reach(ids)
end
if lacks_keys() then
  return missing
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return { {}, 0 }
end
redis.call('HDEL', KEY.accepted .. mode, match)
if why ~= '' then
  redis.call('HINCRBY', KEY.counters, 'given_up:' .. why, 1)
end
local refusals, refused = 0, {}
local gone = search_again(mode, ids, claimed)
if most == 0 then
  return { gone, 0 }
end
for _, id in ipairs(ids) do
  if redis.call('HGET', KEY.ticket .. id, 'state') == 'searching' then
    local times = redis.call('HINCRBY', KEY.ticket .. id, 'refused', 1)
    refusals = math.max(refusals, times)
    if times >= most then
      refused[#refused + 1] = id
    end
  end
end
end_searching(mode, 'failed', reason, refused)
return { #refused > 0 and not_searching() or gone, refusals }
