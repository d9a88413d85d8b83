-- Read a queue's entries and renew the lease. ARGV: mode, fence, milliseconds, most entries, after.
-- `after` is '>' for new entries, or an id: then what the consumer has read and not finished, after that id.
-- Reading is fenced too: an entry given to a director that leads no more would be lost to the one that does.
local mode, fence = ARGV[1], ARGV[2]
if not leads(mode, fence) then
  return STALE
end
redis.call('PEXPIRE', KEY.lease .. mode, ARGV[3])
local read = redis.call('XREADGROUP', 'GROUP', GROUP, CONSUMER, 'COUNT', ARGV[4], 'STREAMS', KEY.queue .. mode, ARGV[5])
return read and read[1][2] or {}
