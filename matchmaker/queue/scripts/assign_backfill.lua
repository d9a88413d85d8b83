-- Assign players to the seats of a running match that its server has opened for them: their tickets end, they are told, the books say so.
-- ARGV: mode, fence, joining id, match id, then as assign() in shared.lua takes them: statistics, ids, views, asked, kept_s, known_s.
-- Answers 1, or 0 where that cannot be (any more): the server is not heard of, the match is over, or another has settled it.
local mode, fence, id, key = ARGV[1], ARGV[2], ARGV[3], KEY.opening .. ARGV[4]
if not in_office(mode, fence) then
  return STALE
end
local ready = is_heard(key) and redis.call('HGET', key, 'over') == '' and redis.call('HGET', key, 'j:' .. id) == 'seated'
if not ready or redis.call('HDEL', KEY.joinings .. mode, id) == 0 then
  return 0
end
redis.call('HSET', key, 'j:' .. id, 'assigned')
assign(mode, ARGV[4], ARGV[6], ARGV[7], ARGV[5], ARGV[8], ARGV[9], ARGV[10])
redis.call('HINCRBY', KEY.books, 'backfilled', #ids_of(ARGV[6]))
return 1
