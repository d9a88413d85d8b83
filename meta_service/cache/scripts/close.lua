-- Close a match, unless it has come: its tombstone refuses every later check-out.
-- KEYS  the match
-- ARGV  force ("1": also a match that has come), come ("1": a player's lease says that it has), how long the
--       tombstone stands (ms)
-- Returns {1, the players who had come as ",id,id,"}, or {0, ''} when it has come. Repeating it says the same.
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'closed' and ARGV[1] ~= '1' and (state == 'come' or ARGV[2] == '1') then
  return {0, ''}
end
redis.call('HSET', KEYS[1], 'state', 'closed')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, redis.call('HGET', KEYS[1], 'players') or ''}
