-- Read the counters of a partition with its open leases and what waits for the store, all of one moment, so that
-- they balance.
-- KEYS  counters, leases, write-behind stream
-- Returns {fields and values of the counters, open leases, waiting changes, id of the oldest of these or ''}.
local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
return {redis.call('HGETALL', KEYS[1]), redis.call('ZCARD', KEYS[2]), redis.call('XLEN', KEYS[3]), oldest and oldest[1] or ''}
