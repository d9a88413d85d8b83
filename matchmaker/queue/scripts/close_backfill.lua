-- A running match offers no seats any more. ARGV: match id, mode. Who was to come and was not told is given back by the director.
redis.call('SREM', KEY.openings .. ARGV[2], ARGV[1])
return redis.call('DEL', KEY.opening .. ARGV[1])
