-- Look whether a player may wear what they wear, and take off what they may not.
-- KEYS  write-behind stream, players to be settled, the hash of what can be worn, player hash
-- ARGV  player id, now (ms), region, request id, the mark of what can be worn, what everybody wears at first
-- Returns the skin that is worn then; false: there is no such player, or the hash of what can be worn is gone.
-- That hash has each item's "kind" or, where everybody may wear it, "kind,free". What was found holds until the
-- loadout, what is owned, or the mark changes: worn_check = "mark:version of the loadout".
local stream, unsettled, wearables, key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local player = redis.call('HMGET', key, 'skin', 'emotes', 'settings', 'loadout_version')
local skin, emotes, version = player[1], player[2] or '[]', player[4]
if not skin or redis.call('EXISTS', wearables) == 0 then
  return false
end

local function may_wear(item, kind)
  local of, free = string.match(redis.call('HGET', wearables, item) or '', '^([^,]+),?(.*)$')
  if of ~= kind or free == 'free' then
    return of == kind
  end
  local owned = redis.call('HGET', key, 'own:' .. item)
  return owned and string.sub(owned, 1, 2) ~= '0,'
end

local wears, kept = may_wear(skin, 'skin') and skin or ARGV[6], {}
for _, emote in ipairs(cjson.decode(emotes)) do
  if may_wear(emote, 'emote') then
    kept[#kept + 1] = '"' .. emote .. '"'  -- a slug has nothing to escape
  end
end
local chosen = '[' .. table.concat(kept, ', ') .. ']'
if wears ~= skin or #kept ~= #cjson.decode(emotes) then
  version = string.format('%.0f', math.max(tonumber(ARGV[2]), tonumber(version) + 1))
  local entry = redis.call('XADD', stream, '*', 'loadout', cjson.encode({
    player_id = ARGV[1], skin = wears, emotes = chosen, settings = player[3] or '{}', version = version,
    region = ARGV[3], request_id = ARGV[4]
  }))
  redis.call('HSET', key, 'skin', wears, 'emotes', chosen, 'loadout_version', version, 'loadout_region', ARGV[3],
    'loadout_entry', entry)
  redis.call('PERSIST', key)
  redis.call('ZADD', unsettled, ARGV[2], ARGV[1])
end
redis.call('HSET', key, 'worn_check', ARGV[5] .. ':' .. version)
return wears
