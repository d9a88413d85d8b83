-- Read a player, and whether the newest loadout is in the store yet.
-- KEYS  player hash, write-behind stream
-- Returns {fields and values of the hash, pending 0|1}.
-- A change is pending for exactly as long as its entry is in the stream, so the worker need not write
-- anything back.
local fields = redis.call('HGETALL', KEYS[1])
local pending = 0
local entry = redis.call('HGET', KEYS[1], 'loadout_entry')
if entry then
  pending = #redis.call('XRANGE', KEYS[2], entry, entry)
end
return {fields, pending}
