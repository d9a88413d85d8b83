-- Tell the game server that holds a player that they have to leave its match.
-- KEYS  kicks, the player
-- ARGV  player id, now (ms), why
-- Returns {match, server}; empty where the player is in no match.
-- What is told once is told for as long as the stream keeps it: its server asks from the beginning of its match.
local KICKS_KEPT = 100000  -- entries, at most
local lease = redis.call('HMGET', KEYS[2], 'lease_state', 'lease_match', 'lease_server', 'lease_until')
if lease[1] ~= 'held' or tonumber(lease[4]) <= tonumber(ARGV[2]) then
  return {}
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', KICKS_KEPT, '*', 'player', ARGV[1], 'match', lease[2], 'why', ARGV[3])
return {lease[2], lease[3]}
