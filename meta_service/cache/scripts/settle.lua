-- Let a player's hash expire, once the store has all that was changed before a moment and nothing was since.
-- KEYS  players to be settled, player hash
-- ARGV  player id, the moment (ms), how long the hash is kept (s)
-- Returns 1 when it expires from now on.
-- Who is checked out is left alone: the end of the lease makes them one to be settled again.
local changed = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not changed or tonumber(changed) > tonumber(ARGV[2]) then
  return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('HGET', KEYS[2], 'lease_state') == 'held' then
  return 0
end
return redis.call('EXPIRE', KEYS[2], ARGV[3])
