-- Keep leading a queue. ARGV: mode, fence, milliseconds.
local mode, fence = ARGV[1], ARGV[2]
if not leads(mode, fence) then
  return STALE
end
return redis.call('PEXPIRE', KEY.lease .. mode, ARGV[3])
