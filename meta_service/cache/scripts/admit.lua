-- Let a match come: from now on it is not closed unless by force. A match that was closed is refused.
-- This key of the match is the arbiter between a late check-out and those who gave its server up.
-- KEYS  the match
-- ARGV  how long the mark is kept (ms): as long as the leases; the players who come, as ",id,id,"
-- Returns 1, or 0 when the match was closed.
local kept = redis.call('HMGET', KEYS[1], 'state', 'players')
if kept[1] == 'closed' then
  return 0
elseif not kept[1] then
  redis.call('HSET', KEYS[1], 'state', 'come', 'players', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return 1
end
if kept[2] ~= ARGV[2] then  -- players who come into the running match
  local added = {kept[2]}
  for id in string.gmatch(ARGV[2], '%d+') do
    if not string.find(kept[2], ',' .. id .. ',', 1, true) then
      added[#added + 1] = id .. ','
    end
  end
  redis.call('HSET', KEYS[1], 'players', table.concat(added))
end
redis.call('PEXPIRE', KEYS[1], ARGV[1], 'GT')
return 1
