-- Lead a queue. ARGV: mode, milliseconds. Answers a fencing token greater than all before, or nil.
local mode = ARGV[1]
if redis.call('EXISTS', KEY.lease .. mode) == 1 then
  return false
end
-- By the time, too: a replica that takes over may lack the last token, and must not give it twice.
local fence = math.max(tonumber(redis.call('GET', KEY.fence .. mode) or '0') + 1, math.floor(NOW * 1000))
fence = string.format('%d', fence)
redis.call('SET', KEY.fence .. mode, fence)
redis.call('SET', KEY.lease .. mode, fence, 'PX', ARGV[2])
if redis.call('EXISTS', KEY.queue .. mode) == 0 or #redis.call('XINFO', 'GROUPS', KEY.queue .. mode) == 0 then
  redis.call('XGROUP', 'CREATE', KEY.queue .. mode, GROUP, '0', 'MKSTREAM')
end
-- Matches that players declined while no director was there to read it.
for _, match in ipairs(redis.call('HKEYS', KEY.accepted .. mode)) do
  if redis.call('HEXISTS', KEY.proposals .. mode, match) == 0 then
    redis.call('HDEL', KEY.accepted .. mode, match)
  end
end
return fence
