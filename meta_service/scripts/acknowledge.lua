-- Take stored changes out of the stream and count them; one that was stored twice is counted once.
-- KEYS  books, write-behind stream
-- ARGV  consumer group, commits that the store refused, then the entries' ids
-- Returns how many entries were still there.
local ids = {unpack(ARGV, 3)}
redis.call('XACK', KEYS[2], ARGV[1], unpack(ids))
local stored = redis.call('XDEL', KEYS[2], unpack(ids))
redis.call('HINCRBY', KEYS[1], 'writebehind_written', stored)
if stored == #ids and ARGV[2] ~= '0' then
  redis.call('HINCRBY', KEYS[1], 'writebehind_refused', ARGV[2])
end
return stored
