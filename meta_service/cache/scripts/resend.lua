-- Put a change that was set aside back among those that wait for the store. 0: it is not there (any more).
-- KEYS  counters, write-behind stream, rejected stream
-- ARGV  the rejected entry's id
local found = redis.call('XRANGE', KEYS[3], ARGV[1], ARGV[1])[1]
if not found then
  return 0
end
redis.call('XADD', KEYS[2], '*', unpack(found[2], 5)) -- behind the entry's first id and the reason
redis.call('XDEL', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'writebehind_rejected', -1)
return 1
