-- Parties have changed since they queued: no ticket is made for them any more, and those that were are taken back. One
-- that is on its way into a match ends instead of searching again.
-- Parties are named. ARGV: seconds for which a claim may still be shown; as MessagePack for each: the party's name, the reason that is read
-- (plain ASCII without quotes). Answers how many tickets ended. Repeating it changes nothing.
local function cancelled()
  return tonumber(redis.call('HGET', KEY.counters, 'cancelled') or '0')
end

local changes, ids = cmsgpack.unpack(ARGV[2]), {}
for _, change in ipairs(changes) do
  local key = KEY.party .. change[1]
  for _, field in ipairs(redis.call('HEXISTS', key, 'void') == 0 and redis.call('HKEYS', key) or {}) do
    ids[#ids + 1] = string.match(field, '^t:(.+)$')
  end
end
reach(ids, true)
if lacks_keys() then
  return missing
end
local before = cancelled()
for _, change in ipairs(changes) do
  local party, reason = unpack(change)
  local key = KEY.party .. party
  if redis.call('HSETNX', key, 'void', reason) == 1 then
    redis.call('HSET', key, 'claim', '1')
    if redis.call('TTL', key) < tonumber(ARGV[1]) then
      redis.call('EXPIRE', key, ARGV[1])
    end
    redis.call('ZREM', KEY.gathering, party)
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local id = string.match(field, '^t:(.+)$')
      local mode, state
      if id then
        mode, state = unpack(redis.call('HMGET', KEY.ticket .. id, 'mode', 'state'))
      end
      if id and is_live(state) then
        take_back(id, mode, state, reason)
      end
    end
  end
end
local ended = cancelled() - before
if ended > 0 then
  redis.call('HINCRBY', KEY.counters, 'party_changed', ended)
end
return ended
