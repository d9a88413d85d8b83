-- The running matches that request backfill, or with players on their way into them, whose servers are
-- heard of. ARGV: mode.
-- Answers match id and the hash's fields and values (see backfill.lua) of each in turn.
local set, answer = KEY.open_matches .. ARGV[1], {}
local matches = redis.call('SMEMBERS', set)
for _, match in ipairs(matches) do
  is_named(KEY.open_match .. match)
end
if lacks_keys() then
  return missing
end
for _, match in ipairs(matches) do
  local key = KEY.open_match .. match
  if is_heard(key) then
    answer[#answer + 1] = match
    answer[#answer + 1] = redis.call('HGETALL', key)
  else
    redis.call('SREM', set, match)
  end
end
return answer
