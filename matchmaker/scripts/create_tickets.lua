-- Create tickets; one live ticket a player.
-- ARGV: mode, regions, then for each ticket: id, player, client key ('' for none), created at, expires at, record.
-- Answers for each ticket: {'created'|'repeated'|'busy', id of the player's ticket}.
local mode, regions = ARGV[1], ARGV[2]
local answers, records = {}, {}
for i = 3, #ARGV, 6 do
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
  else
    redis.call('HSET', KEY.ticket .. id, 'player', player, 'mode', mode, 'state', 'searching', 'reason', '',
      'created_at', ARGV[i + 3], 'expires_at', ARGV[i + 4], 'client_key', client_key)
    redis.call('SET', KEY.player .. player, id)
    redis.call('ZADD', KEY.live .. mode, ARGV[i + 4], id)
    records[#records + 1] = ARGV[i + 5]
    answers[#answers + 1] = { 'created', id }
  end
end
if #records > 0 then
  redis.call('HINCRBY', KEY.books, 'queued', #records)
  redis.call('XADD', KEY.queue .. mode, '*', 'tickets', table.concat(records), 'regions', regions)
end
return answers
