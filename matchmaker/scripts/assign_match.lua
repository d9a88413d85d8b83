-- Assign a proposed match: all of its tickets end here, their players are told, the books say so.
-- ARGV: mode, fence, match id, statistics (JSON: wait, latency: histograms; wait_max_s), ids, views (MessagePack).
-- Answers 1, or 0 where the match is not proposed (any more): then it has been assigned already.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not in_office(mode, fence) then
  return STALE
end
if redis.call('HDEL', KEY.proposals .. mode, match) == 0 then
  return 0
end
redis.call('HDEL', KEY.accepted .. mode, match)
local told, views = {}, cmsgpack.unpack(ARGV[6])
for i, id in ipairs(ids_of(ARGV[5])) do
  told[#told + 1] = id
  told[#told + 1] = views[i]
end
finish(mode, 'assigned', told)
local statistics = cjson.decode(ARGV[4])
add_histogram(KEY.wait, statistics.wait)
add_histogram(KEY.latency, statistics.latency)
if statistics.wait_max_s > tonumber(redis.call('HGET', KEY.books, 'wait_max_s') or '0') then
  redis.call('HSET', KEY.books, 'wait_max_s', tostring(statistics.wait_max_s))
end
redis.call('HINCRBY', KEY.books, 'matches', 1)
return 1
