-- Create tickets; one live ticket a player.
-- ARGV: mode, regions, seconds to keep, then for each ticket: id, player, client key ('' for none), created at, expires at,
-- party ('' for none), its size, what all of it must agree on, record.
-- Answers for each ticket: {'created'|'repeated'|'busy'|'mismatch', id of the player's ticket}.
local mode, regions, keep_s = ARGV[1], ARGV[2], ARGV[3]
local answers, records, live = {}, {}, {}

-- Whether any ticket of a party has no end yet.
local function any_live(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 't:' and is_live(redis.call('HGET', KEY.ticket .. string.sub(field, 3), 'state')) then
      return true
    end
  end
  return false
end

-- Whether a ticket may join its party: all have the same wish, and there is room for it.
local function joins(party, size, wish, id)
  if party == '' then
    return true
  end
  local key = KEY.party .. party
  local known, count = unpack(redis.call('HMGET', key, 'wish', 'count'))
  if known and tonumber(count) >= tonumber(size) and not any_live(key) then
    redis.call('DEL', key) -- it has played, and queues again
    known = false
  end
  if known and (known ~= wish or tonumber(count) >= tonumber(size)) then
    return false
  end
  redis.call('HSET', key, 'wish', wish, 't:' .. id, '1')
  redis.call('HINCRBY', key, 'count', 1)
  redis.call('EXPIRE', key, keep_s)
  return true
end

for i = 4, #ARGV, 9 do
  local id, player, client_key = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local last = redis.call('GET', KEY.player .. player)
  local last_state, last_client_key = false, false
  if last then
    last_state, last_client_key = unpack(redis.call('HMGET', KEY.ticket .. last, 'state', 'client_key'))
  end
  if last_state and client_key ~= '' and last_client_key == client_key then
    answers[#answers + 1] = { 'repeated', last }
  elseif is_live(last_state) then
    answers[#answers + 1] = { 'busy', last }
  elseif not joins(ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], id) then
    answers[#answers + 1] = { 'mismatch', id }
  else
    local key = KEY.ticket .. id
    if ARGV[i + 5] == '' then
      redis.call('HSET', key, 'player', player, 'mode', mode, 'state', 'searching', 'created_at', ARGV[i + 3],
        'client_key', client_key)
    else
      redis.call('HSET', key, 'player', player, 'mode', mode, 'state', 'searching', 'created_at', ARGV[i + 3],
        'client_key', client_key, 'party', ARGV[i + 5])
    end
    redis.call('EXPIRE', key, keep_s)
    redis.call('SET', KEY.player .. player, id, 'EX', keep_s)
    live[#live + 1] = ARGV[i + 4]
    live[#live + 1] = id
    records[#records + 1] = ARGV[i + 8]
    answers[#answers + 1] = { 'created', id }
  end
end
if #records > 0 then
  in_parts('ZADD', KEY.live .. mode, live)
  redis.call('HINCRBY', KEY.books, 'queued', #records)
  redis.call('XADD', KEY.queue .. mode, '*', 'tickets', table.concat(records), 'regions', regions)
end
return answers
