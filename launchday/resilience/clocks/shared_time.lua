-- The time that the processes of a region share: it goes evenly, whoever's wall clock is stepped, this cache's
-- too, and walks to the cache's wall clock.
-- KEYS  a hash: at, the shared time (Unix s); wall, this cache's clock then
-- ARGV  the caller's shared time (Unix s; '' for one that has just begun), and of shared_time.py: GAP_S,
--       MAX_STEP_S, SLEW
-- Returns the shared time, and this cache's clock.
local clock = redis.call('TIME')
local wall = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local theirs, gap_s, step_s, slew = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local known = redis.call('HMGET', KEYS[1], 'at', 'wall')
local now = theirs or wall
if known[1] then
  local passed = wall - tonumber(known[2])
  now = tonumber(known[1]) + passed
  -- Somebody calls every second. Where more seems to have passed, this clock was stepped, or nobody was there:
  -- whoever was there all the time knows. A caller that differs although others have called was away itself.
  if theirs and math.abs(theirs - now) > step_s and (passed < 0 or passed > gap_s) then
    now = theirs
  end
  local most = slew * math.max(0, math.min(passed, gap_s))
  now = now + math.max(-most, math.min(most, wall - now))
end
redis.call('HSET', KEYS[1], 'at', string.format('%.6f', now), 'wall', string.format('%.6f', wall))
return { string.format('%.6f', now), string.format('%.6f', wall) }
