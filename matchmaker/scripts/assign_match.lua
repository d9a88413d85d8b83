-- Assign a proposed match: all of its tickets end here, their players are told, the books say so.
-- ARGV: mode, fence, match id, statistics (JSON: wait, latency: histograms; wait_max_s), ids, views (MessagePack), what its players
-- asked for (see salvage_match.lua; '' for nothing), seconds to keep that, seconds that the tickets must be known for ('0': they are).
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
if ARGV[7] ~= '' then
  local now_s = tonumber(redis.call('TIME')[1])
  redis.call('RPUSH', KEY.match .. match, ARGV[7])
  redis.call('EXPIRE', KEY.match .. match, ARGV[8])
  redis.call('ZADD', KEY.playing, now_s + tonumber(ARGV[8]), match)
  redis.call('ZREMRANGEBYSCORE', KEY.playing, '-inf', now_s)
end
if ARGV[9] ~= '0' then -- the match may outlive its tickets
  for _, id in ipairs(ids_of(ARGV[5])) do
    local player, party = unpack(redis.call('HMGET', KEY.ticket .. id, 'player', 'party'))
    redis.call('EXPIRE', KEY.ticket .. id, ARGV[9], 'GT')
    redis.call('EXPIRE', KEY.player .. (player or ''), ARGV[9], 'GT')
    redis.call('EXPIRE', KEY.party .. (party or ''), ARGV[9], 'GT')
  end
end
return 1
