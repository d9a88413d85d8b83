-- A running match names its free slots and what became of the proposals that it was sent, and is answered
-- who is to come.
-- ARGV: match id, mode, revision, request (JSON), entities (JSON), ids of proposals admitted, and rejected
-- (JSON), over ('1' or '').
-- Answers id, state, players of each proposal in turn. A request older than one that is known changes
-- nothing.
local match, mode, revision, over = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[8]
local key = KEY.open_match .. match
if revision > tonumber(redis.call('HGET', key, 'revision') or '0') then
  redis.call('HSET', key, 'revision', ARGV[3], 'request', ARGV[4], 'slots', ARGV[5], 'over', over,
    'until', string.format('%.6f', NOW + SILENT_AFTER_S))
  redis.call('EXPIRE', key, KEPT_S)
  redis.call('SADD', KEY.open_matches .. mode, match)
  for _, id in ipairs(cjson.decode(ARGV[6])) do
    if redis.call('HGET', key, 'state:' .. id) == 'offered' then
      redis.call('HSET', key, 'state:' .. id, 'admitted')
    end
  end
  for _, id in ipairs(cjson.decode(ARGV[7])) do
    local state = redis.call('HGET', key, 'state:' .. id)
    if state and state ~= 'assigned' then
      redis.call('HSET', key, 'state:' .. id, 'rejected')
    end
  end
  for _, entity in ipairs(cjson.decode(ARGV[5])) do
    redis.call('HDEL', KEY.seats .. match, entity) -- nobody plays there any more
    local holder = redis.call('HGET', key, 'slot:' .. entity)
    if holder and redis.call('HGET', key, 'state:' .. holder) == 'assigned' then
      remove_proposal(key, holder) -- its player came, and is gone
    end
  end
end
local answer, fields = {}, redis.call('HGETALL', key)
for i = 1, #fields, 2 do
  if string.sub(fields[i], 1, 6) == 'state:' then
    local id, state = string.sub(fields[i], 7), fields[i + 1]
    if state == 'reserved' and over == '' then
      state = 'offered'
      redis.call('HSET', key, fields[i], state)
    end
    if state ~= 'reserved' and state ~= 'rejected' then
      answer[#answer + 1] = id
      answer[#answer + 1] = state
      answer[#answer + 1] = redis.call('HGET', key, 'players:' .. id)
    end
  end
end
return answer
