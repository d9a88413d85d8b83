-- Take stored changes out of the stream and count them; one that was stored twice is counted once.
-- KEYS  counters, write-behind stream
-- ARGV  consumer group, commits that the store refused, how long the oldest entry waited (ms), then the
--       entries' ids
-- Returns how many entries were still there.
local ids = {unpack(ARGV, 4)}
redis.call('XACK', KEYS[2], ARGV[1], unpack(ids))
local stored = redis.call('XDEL', KEYS[2], unpack(ids))
redis.call('HINCRBY', KEYS[1], 'writebehind_written', stored)
redis.call('HSET', KEYS[1], 'writebehind_lag_ms', ARGV[3])
if stored == #ids and ARGV[2] ~= '0' then
  redis.call('HINCRBY', KEYS[1], 'writebehind_refused', ARGV[2])
end
return stored
