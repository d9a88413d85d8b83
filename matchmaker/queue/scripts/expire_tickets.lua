-- Expire tickets whose time is up, each with its party. ARGV: mode, most tickets a call, seconds that those due
-- get on top where nobody could serve them for a while ('0': none). Answers how many were due.
-- A queue that no director leads is not searched: its tickets are looked at again every POSTPONED_S, and
-- expire after MAX_POSTPONED times all the same.
local POSTPONED_S, MAX_POSTPONED = 5, 12
local mode, now, fresh_s = ARGV[1], string.format('%.17g', NOW), tonumber(ARGV[3])
local due = redis.call('ZRANGE', KEY.live .. mode, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])
local led = #due == 0 or redis.call('EXISTS', KEY.lease .. mode) == 1
reach(due)
if lacks_keys() then
  return missing
end
local searching, abandoned = {}, {}
for _, id in ipairs(due) do
  local state, record = unpack(redis.call('HMGET', KEY.ticket .. id, 'state', 'record'))
  if state and fresh_s > 0 then
    redis.call('ZADD', KEY.live .. mode, NOW + fresh_s, id)
  elseif state == 'searching' and record then
    abandoned[#abandoned + 1] = id
  elseif state == 'searching' and not led and redis.call('HINCRBY', KEY.ticket .. id, 'postponed', 1) <= MAX_POSTPONED then
    redis.call('ZADD', KEY.live .. mode, NOW + POSTPONED_S, id)
  elseif state == 'searching' then
    searching[#searching + 1] = id
  elseif state then
    -- Its match is waiting for a server: look again in a second, so that it does not hide others.
    redis.call('ZADD', KEY.live .. mode, NOW + 1, id)
  else
    redis.call('ZREM', KEY.live .. mode, id) -- forgotten: nobody read it in all its life
    redis.call('HINCRBY', KEY.counters, 'expired', 1)
  end
end
end_searching(mode, 'expired', 'its player did not come back', abandoned)
end_searching(mode, 'expired', 'no match was found in time', searching)
return #due
