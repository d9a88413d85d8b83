-- Search for a ticket that was made because its player's match was lost, now that he has looked at it. ARGV: id.
-- Answers 1, or 0 where it is searched for already, or has ended.
local key = KEY.ticket .. ARGV[1]
local mode, state, record, regions, expires_at =
  unpack(redis.call('HMGET', key, 'mode', 'state', 'record', 'regions', 'expires_at'))
if state ~= 'searching' or not record then
  return 0
end
redis.call('HDEL', key, 'record', 'regions', 'expires_at')
redis.call('ZADD', KEY.live .. mode, 'XX', expires_at, ARGV[1])
redis.call('XADD', KEY.queue .. mode, '*', 'tickets', record, 'regions', regions)
redis.call('HINCRBY', KEY.books, 'resumed', 1)
return 1
