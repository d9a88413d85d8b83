-- The counters of one instant. ARGV: modes. Answers {counters, wait histogram, latency histogram, live
-- tickets}.
local live = 0
for _, mode in ipairs(ARGV) do
  live = live + redis.call('ZCARD', KEY.live .. mode)
end
return { redis.call('HGETALL', KEY.counters), redis.call('HGETALL', KEY.wait), redis.call('HGETALL', KEY.latency), live }
