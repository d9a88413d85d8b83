-- A proposed match is about to be closed: whoever takes over from here closes it too before anything else.
-- ARGV: mode, fence, match id.
local mode, fence, match = ARGV[1], ARGV[2], ARGV[3]
if not leads(mode, fence) then
  return STALE
end
return redis.call('HSET', KEY.accepted .. mode, match, CLOSING)
