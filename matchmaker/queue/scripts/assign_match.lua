-- Assign a proposed match: all of its tickets end here, their players are notified, and they are counted.
-- ARGV: mode, fence, match id, then as assign() in shared.lua takes them: statistics, views, record, kept_s,
-- known_s; then as keep_seats() takes them: seats, seats_kept_s. The tickets are named.
-- Answers 1, or 0 where the match is not proposed (any more): then it has been assigned already.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not leads(mode, fence) then
  return STALE
end
local keys = outlived(ARGV[8])
if lacks_keys() then
  return missing
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return 0
end
redis.call('HDEL', KEY.accepted .. mode, match)
assign(mode, match, ARGV[5], ARGV[4], ARGV[6], ARGV[7], keys, ARGV[8])
keep_seats(match, ARGV[9], ARGV[10])
redis.call('HINCRBY', KEY.counters, 'matches', 1)
return 1
