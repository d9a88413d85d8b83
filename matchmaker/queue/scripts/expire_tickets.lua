-- Expire tickets whose time is up, each with its party. ARGV: mode, most tickets a call. Answers how many
-- were due.
local mode, now = ARGV[1], string.format('%.17g', NOW)
local due = redis.call('ZRANGE', KEY.live .. mode, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])
local searching, abandoned = {}, {}
for _, id in ipairs(due) do
  local state, record = unpack(redis.call('HMGET', KEY.ticket .. id, 'state', 'record'))
  if state == 'searching' and record then
    abandoned[#abandoned + 1] = id
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
