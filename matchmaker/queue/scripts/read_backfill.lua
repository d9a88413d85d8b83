-- The running matches with free seats, or with players on their way into them, whose servers are heard of. ARGV: mode.
-- Answers match id and the opening's fields and values (see openings.lua) of each in turn.
local set, answer = KEY.openings .. ARGV[1], {}
for _, match in ipairs(redis.call('SMEMBERS', set)) do
  local key = KEY.opening .. match
  if is_heard(key) then
    answer[#answer + 1] = match
    answer[#answer + 1] = redis.call('HGETALL', key)
  else
    redis.call('SREM', set, match)
  end
end
return answer
