-- Show what a player owns of some items: what they may wear is decided by it.
-- KEYS  the lock of the player's load, player hash
-- ARGV  "item,quantity,version;item,quantity,version", how long to keep them for a load that is under way (s)
-- Returns 1 when something was taken that the player may be wearing: it is looked at again, see worn.lua.
-- Of each item the newest version stays: commits may be shown in another order than they were made in.
-- A player who is not in the cache gets no key, unless a load is under way: it may bring older quantities.
local lock, key = KEYS[1], KEYS[2]
local known = redis.call('EXISTS', key) == 1
if not known and redis.call('EXISTS', lock) == 0 then
  return 0
end
if redis.call('HEXISTS', key, 'erased') == 1 then
  return 0  -- deleted: told too late
end
local taken = 0
for item, quantity, version in string.gmatch(ARGV[1], '([^,;]+),(%d+),(%d+)') do
  local field = 'own:' .. item
  local shown = redis.call('HGET', key, field)
  if not shown or tonumber(version) > tonumber(string.match(shown, ',(%d+)$')) then
    redis.call('HSET', key, field, quantity .. ',' .. version)
    taken = quantity == '0' and 1 or taken
  end
end
if not known then
  redis.call('EXPIRE', key, ARGV[2])
elseif taken == 1 then
  redis.call('HDEL', key, 'worn_check')
end
return taken
