-- Read a queue's entries and renew the lease. ARGV: mode, fence, milliseconds, most entries, after, how many
-- questions (ask_why.lua) its director would answer now.
-- `after` is '>' for new entries, or an id: then what the consumer has read and not finished, after that id.
-- Reading is fenced too: an entry given to a director that leads no more would be lost to the one that does.
-- Answers {entries, ids of tickets that somebody asks about}.
local mode, fence, questions = ARGV[1], ARGV[2], tonumber(ARGV[6])
if not leads(mode, fence) then
  return STALE
end
redis.call('PEXPIRE', KEY.lease .. mode, ARGV[3])
local asked = questions > 0 and redis.call('LPOP', KEY.why_asked .. mode, questions)
local read = redis.call('XREADGROUP', 'GROUP', GROUP, CONSUMER, 'COUNT', ARGV[4], 'STREAMS', KEY.queue .. mode, ARGV[5])
return { read and read[1][2] or {}, asked or {} }
