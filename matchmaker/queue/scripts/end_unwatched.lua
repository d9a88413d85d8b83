-- Cancel tickets that nobody has looked at for a while, each with its party. ARGV: seconds of the clock of
-- signs of life, most tickets a call. Answers how many were due.
local clock = tonumber(redis.call('HGET', KEY.attended, 'clock') or '0')
local due = redis.call('ZRANGE', KEY.seen, '-inf', string.format('%.3f', clock - tonumber(ARGV[1])), 'BYSCORE', 'LIMIT', 0, ARGV[2])
reach(due)
if lacks_keys() then
  return missing
end
local searching, before = {}, 0
for _, id in ipairs(due) do
  local mode, state = unpack(redis.call('HMGET', KEY.ticket .. id, 'mode', 'state'))
  if state == 'searching' then
    searching[mode] = searching[mode] or {}
    table.insert(searching[mode], id)
  end
  if is_live(state) then
    -- Its match is waiting for a server, or one of its party's is: look again in a second of that clock.
    redis.call('ZINCRBY', KEY.seen, 1, id)
  else
    redis.call('ZREM', KEY.seen, id)
  end
end
before = tonumber(redis.call('HGET', KEY.counters, 'cancelled') or '0')
for mode, ids in pairs(searching) do
  end_searching(mode, 'cancelled', 'nobody looked at the ticket any more: its player has gone', ids)
end
local ended = tonumber(redis.call('HGET', KEY.counters, 'cancelled') or '0') - before
if ended > 0 then
  redis.call('HINCRBY', KEY.counters, 'silent', ended)
end
return #due
