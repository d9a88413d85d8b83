-- A running match offers its free seats, says what became of those it was sent, and is told who is to come.
-- ARGV: match id, mode, revision, offer (JSON), entities (JSON), ids of joinings seated, and refused (JSON), whether it is over ('1' or '').
-- Answers id, state, players of each joining in turn. An announcement older than one that is known changes nothing.
local match, mode, revision, over = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[8]
local key = KEY.opening .. match
if revision > tonumber(redis.call('HGET', key, 'revision') or '0') then
  redis.call('HSET', key, 'revision', ARGV[3], 'offer', ARGV[4], 'seats', ARGV[5], 'over', over, 'until', now_ms() + OPEN_MS)
  redis.call('PEXPIRE', key, KEPT_MS)
  redis.call('SADD', KEY.openings .. mode, match)
  for _, id in ipairs(cjson.decode(ARGV[6])) do
    if redis.call('HGET', key, 'j:' .. id) == 'told' then
      redis.call('HSET', key, 'j:' .. id, 'seated')
    end
  end
  for _, id in ipairs(cjson.decode(ARGV[7])) do
    local state = redis.call('HGET', key, 'j:' .. id)
    if state and state ~= 'assigned' then
      redis.call('HSET', key, 'j:' .. id, 'refused')
    end
  end
  for _, entity in ipairs(cjson.decode(ARGV[5])) do
    local holder = redis.call('HGET', key, 'e:' .. entity)
    if holder and redis.call('HGET', key, 'j:' .. holder) == 'assigned' then
      forget(key, holder) -- who had it came, and is gone
    end
  end
end
local answer, fields = {}, redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 2) == 'j:' then
    local id, state = string.sub(fields[i], 3), fields[i + 1]
    if state == 'reserved' and over == '' then
      state = 'told'
      redis.call('HSET', key, fields[i], state)
    end
    if state ~= 'reserved' and state ~= 'refused' then
      answer[#answer + 1] = id
      answer[#answer + 1] = state
      answer[#answer + 1] = redis.call('HGET', key, 'p:' .. id)
    end
  end
end
return answer
