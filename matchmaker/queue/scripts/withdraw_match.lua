-- Give the tickets of a proposed match back to the search, with their age; those whose players cancelled
-- meanwhile end. ARGV: mode, fence, match id, ids, why the match was given up ('' where no server was spent on
-- it), how many refusals at the check-out end a ticket ('0': its players were not refused), and the reason
-- that its player then reads.
-- Answers {places (from 0) of the tickets that ended, the most refusals of one that searches}.
local mode, fence, match, why, most, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[5], tonumber(ARGV[6]), ARGV[7]
if not leads(mode, fence) then
  return STALE
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return { {}, 0 }
end
redis.call('HDEL', KEY.accepted .. mode, match)
if why ~= '' then
  redis.call('HINCRBY', KEY.counters, 'given_up:' .. why, 1)
end
local ids, refusals, refused = ids_of(ARGV[4]), 0, {}
local gone = search_again(mode, ids)
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
return { #refused > 0 and not_searching(ids) or gone, refusals }
