-- Search for a ticket that was made because its player's match was lost, now that they have read it. ARGV:
-- id, '1' where it ends without signs of life of its player.
-- Answers 1, or 0 where it is searched for already, or has ended.
local key = KEY.ticket .. ARGV[1]
local mode, state, record, regions, expires_at, given =
  unpack(redis.call('HMGET', key, 'mode', 'state', 'record', 'regions', 'expires_at', 'attributes'))
if state ~= 'searching' or not record then
  return 0
end
is_named(KEY.live .. mode)
is_named(KEY.queue .. mode)
if lacks_keys() then
  return missing
end
redis.call('HDEL', key, 'record', 'regions', 'expires_at', 'attributes')
redis.call('ZADD', KEY.live .. mode, 'XX', expires_at, ARGV[1])
if ARGV[2] == '1' then
  redis.call('ZADD', KEY.seen, redis.call('HGET', KEY.attended, 'clock') or '0', ARGV[1])
end
local entry = { 'tickets', record, 'regions', regions }
if given then
  entry[5], entry[6] = 'attributes', cmsgpack.pack({ given })
end
redis.call('XADD', KEY.queue .. mode, '*', unpack(entry))
redis.call('HINCRBY', KEY.counters, 'reclaimed', 1)
return 1
