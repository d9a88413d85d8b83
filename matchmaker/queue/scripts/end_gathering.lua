-- Take tickets back whose party was not complete by the time that its claim said. ARGV: most parties a call, the reason
-- that is read. Answers how many parties were due.
local due = redis.call('ZRANGE', KEY.gathering, '-inf', string.format('%.17g', NOW), 'BYSCORE', 'LIMIT', 0, ARGV[1])
local ids = {}
for _, party in ipairs(due) do
  for _, field in ipairs(is_named(KEY.party .. party) and redis.call('HKEYS', KEY.party .. party) or {}) do
    ids[#ids + 1] = string.match(field, '^t:(.+)$')
  end
end
reach(ids)
if lacks_keys() then
  return missing
end
for _, party in ipairs(due) do
  redis.call('ZREM', KEY.gathering, party)
  for _, field in ipairs(redis.call('HKEYS', KEY.party .. party)) do
    local id = string.match(field, '^t:(.+)$')
    local mode, state
    if id then
      mode, state = unpack(redis.call('HMGET', KEY.ticket .. id, 'mode', 'state'))
    end
    if state == 'searching' then
      end_searching(mode, 'cancelled', ARGV[2], { id })
    end
  end
end
return #due
