-- Cancel the tickets of players whose session was ended, each with its party. One whose match is getting its
-- server is marked as if its player had cancelled it: it ends instead of searching again. Where the match waits for
-- its players to accept it, that is a no, and it is given up.
-- Players are named. ARGV: as MessagePack for each end: player, when (Unix seconds), '1' where the player has logged in again, the
-- reason that is read (plain ASCII without quotes). Answers how many tickets ended.
-- Repeating it changes nothing: a ticket of whoever has logged in again ends only if it is older than the end.
local function cancelled()
  return tonumber(redis.call('HGET', KEY.counters, 'cancelled') or '0')
end

local endings, ids = cmsgpack.unpack(ARGV[1]), {}
for _, ending in ipairs(endings) do
  local id = redis.call('GET', KEY.player .. ending[1])
  if id and is_named(KEY.ticket .. id) and is_live(redis.call('HGET', KEY.ticket .. id, 'state')) then
    ids[#ids + 1] = id
  end
end
reach(ids, true)
if lacks_keys() then
  return missing
end
local before = cancelled()
for _, ending in ipairs(endings) do
  local player, at, live, reason = unpack(ending)
  local id = redis.call('GET', KEY.player .. player)
  local mode, state, created_at
  if id then
    mode, state, created_at = unpack(redis.call('HMGET', KEY.ticket .. id, 'mode', 'state', 'created_at'))
  end
  if id and is_live(state) and (live ~= '1' or tonumber(created_at) <= tonumber(at)) then
    take_back(id, mode, state, reason)
  end
end
local ended = cancelled() - before
if ended > 0 then
  redis.call('HINCRBY', KEY.counters, 'logged_out', ended)
end
return ended
