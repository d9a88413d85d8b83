-- A running match requests no backfill any more. ARGV: match id, mode. The director withdraws proposals
-- that were not offered.
redis.call('SREM', KEY.open_matches .. ARGV[2], ARGV[1])
return redis.call('DEL', KEY.open_match .. ARGV[1])
