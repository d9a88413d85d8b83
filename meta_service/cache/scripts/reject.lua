-- Move a change that the store cannot take out of the way of the others, where an operator finds it with
-- its reason.
-- KEYS  counters, write-behind stream, rejected stream
-- ARGV  consumer group, entry id, reason, then the entry's fields and values
redis.call('XADD', KEYS[3], '*', 'entry', ARGV[2], 'reason', ARGV[3], unpack(ARGV, 4))
redis.call('XACK', KEYS[2], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[2], ARGV[2])
return redis.call('HINCRBY', KEYS[1], 'writebehind_rejected', 1)
