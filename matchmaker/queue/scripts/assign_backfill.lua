-- Assign players to slots of a running match that its server has opened for them: their tickets end, they
-- are notified and counted.
-- ARGV: mode, fence, proposal id, match id, then as assign() in shared.lua takes them: statistics, views,
-- record, kept_s, known_s; then as keep_seats() takes them: seats, seats_kept_s. The tickets are named.
-- Answers 1, or 0 where that cannot be (any more): the server is silent, the match is over, or another
-- director has finished it.
local mode, fence, id, key = ARGV[1], ARGV[2], ARGV[3], KEY.open_match .. ARGV[4]
if not leads(mode, fence) then
  return STALE
end
local keys = outlived(ARGV[9])
if lacks_keys() then
  return missing
end
local ready = is_heard(key) and redis.call('HGET', key, 'over') == '' and redis.call('HGET', key, 'state:' .. id) == 'admitted'
if not ready or redis.call('HDEL', KEY.claims .. mode, id) == 0 then
  return 0
end
redis.call('HSET', key, 'state:' .. id, 'assigned')
assign(mode, ARGV[4], ARGV[6], ARGV[5], ARGV[7], ARGV[8], keys, ARGV[9])
keep_seats(ARGV[4], ARGV[10], ARGV[11])
redis.call('HINCRBY', KEY.counters, 'backfilled', TICKETS)
return 1
