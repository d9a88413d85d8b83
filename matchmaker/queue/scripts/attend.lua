-- An API process attends to its players, a second after it last did. ARGV: its name, then counters' names and
-- what to add to each.
-- Answers {the clock, seconds for which nobody had attended}, as strings.
--
-- The clock by which players' signs of life are judged runs only while every API process attends: in the
-- time in which one of them or the cache was away, its players could give none. A process that is silent for
-- FORGOTTEN_S has ended for good; its players have come to another by then.
local process, FORGOTTEN_S = ARGV[1], 60
local fields, known = redis.call('HGETALL', KEY.attended), {}
for i = 1, #fields, 2 do
  known[fields[i]] = tonumber(fields[i + 1])
end
local gap_s = known.at and math.max(0, NOW - known.at) or 0
local all = gap_s <= MAX_GAP_S
for name, at in pairs(known) do
  if string.sub(name, 1, 2) == 'p:' and name ~= 'p:' .. process and NOW - at > MAX_GAP_S then
    if NOW - at > FORGOTTEN_S then
      redis.call('HDEL', KEY.attended, name)
    else
      all = false
    end
  end
end
local clock = (known.clock or 0) + (all and gap_s or 0)
redis.call('HSET', KEY.attended, 'at', string.format('%.3f', math.max(NOW, known.at or 0)),
  'clock', string.format('%.3f', clock), 'p:' .. process, string.format('%.3f', NOW))
if gap_s > MAX_GAP_S then
  redis.call('HSET', KEY.attended, 'since', string.format('%.3f', NOW))
end
for i = 2, #ARGV, 2 do
  redis.call('HINCRBY', KEY.counters, ARGV[i], ARGV[i + 1])
end
return { tostring(clock), tostring(gap_s) }
