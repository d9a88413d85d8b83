-- An API process ends as it should: nobody waits for it. ARGV: its name.
return redis.call('HDEL', KEY.attended, 'p:' .. ARGV[1])
