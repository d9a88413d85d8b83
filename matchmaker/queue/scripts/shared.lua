-- A ticket's hash: player, mode, state, created_at, client_key, wish, party, match, view; assigned_at; cancel where it was cancelled
-- while its match was getting a server, '1' by its player, else why; refused, how often a check-out refused its
-- match's players; postponed, how often its expiry was; record, regions, expires_at and attributes where its match was
-- lost and its player has not read it yet (requeue_match.lua).
-- States: searching, proposed (its match has no server yet), accepted (its player accepted it, where
-- players are asked), and the final ones, of which a ticket reaches exactly one: assigned, cancelled,
-- expired, failed. A ticket and its player's pointer are given their life when they are made, so that
-- ending a thousand costs no command more each.

local function is_live(state)
  return state == 'searching' or state == 'proposed' or state == 'accepted'
end

-- Whether the caller is still the director that leads this queue.
local function leads(mode, fence)
  return redis.call('GET', KEY.lease .. mode) == fence
end

-- The ids of the tickets whose keys come first in KEYS.
local function named_tickets()
  local ids, begin = {}, #KEY.ticket + 1
  for i = 1, TICKETS do
    ids[i] = string.sub(KEYS[i], begin)
  end
  return ids
end

-- Whether a key is named in KEYS, as each has to be that a script reads or changes. Its caller names those that it
-- knows. Which others there are, such as those of the other tickets of a party, is found by reading: a script looks at
-- all that it may touch before it changes anything, and where some are not named it answers `missing`. Then it is
-- called again with these as well (__init__.py).
local named, missing = nil, { 'NEEDS' }
local function is_named(key)
  if not named then
    named = {}
    for _, name in ipairs(KEYS) do
      named[name] = true
    end
  end
  if named[key] == nil then
    named[key] = false
    missing[#missing + 1] = key
  end
  return named[key]
end

-- Whether the script has to be called again with more keys: return `missing` then.
local function lacks_keys()
  return #missing > 1
end

-- The ticket ids, of 36 characters each, in one string.
local function ids_of(joined)
  local ids = {}
  for i = 1, #joined, 36 do
    ids[#ids + 1] = string.sub(joined, i, i + 35)
  end
  return ids
end

local STALE = { err = 'STALE another director has the lease' }
-- Instead of how many players have accepted a match: one said no; it is being closed (begin_closing.lua).
local DECLINED, CLOSING = '-1000000', '-2000000'
local CLAIM_USED = 'used' -- why a party's tickets may not be made; else: how the party has changed
local BY_PLAYER, BY_PARTY = 'cancelled by the player', 'cancelled by another of the party'
local MAX_GAP_S = 3 -- an API process attends once a second; one that has not for so long is away

-- Call a command whose arguments may be more than Lua can unpack at once.
local function in_parts(command, key, args, option)
  for i = 1, #args, 4000 do
    if option then
      redis.call(command, key, option, unpack(args, i, math.min(i + 3999, #args)))
    else
      redis.call(command, key, unpack(args, i, math.min(i + 3999, #args)))
    end
  end
end

-- Whether players could be heard all the time lately (attend.lua): nobody's silence counts otherwise.
local function attended()
  local at, since = unpack(redis.call('HMGET', KEY.attended, 'at', 'since'))
  if at and NOW - tonumber(at) > MAX_GAP_S then
    return false
  end
  return not since or NOW - tonumber(since) > MAX_GAP_S
end

-- What a player reads of a ticket that ended without an assignment. All parts are plain ASCII of ours.
local function ended_view(id, state, reason)
  return string.format(ENDED_VIEW, id, state, reason)
end

-- Notify the subscribers: a flat list of id, view, id, view … Old entries are trimmed by the ids that the
-- cache itself gives, so that no caller's clock can take away what was just written.
local function notify(views)
  local last
  for i = 1, #views, 4000 do
    last = redis.call('XADD', KEY.notifications, '*', unpack(views, i, math.min(i + 3999, #views)))
  end
  if last then
    local kept_since = tonumber(string.match(last, '^%d+')) - NOTIFICATIONS_KEPT_S * 1000
    redis.call('XTRIM', KEY.notifications, 'MINID', '~', string.format('%d', math.max(0, kept_since)))
  end
end

-- End live tickets of one mode, given as a flat list of id, view, id, view …, and notify. The caller has
-- checked their states.
local function finish(mode, state, views)
  local ids = {}
  for i = 1, #views, 2 do
    if state == 'assigned' then
      redis.call('HSET', KEY.ticket .. views[i], 'state', state, 'view', views[i + 1], 'assigned_at', NOW)
    else
      redis.call('HSET', KEY.ticket .. views[i], 'state', state, 'view', views[i + 1])
    end
    ids[#ids + 1] = views[i]
  end
  if #ids > 0 then
    in_parts('ZREM', KEY.live .. mode, ids)
    in_parts('ZREM', KEY.seen, ids)
    redis.call('HINCRBY', KEY.counters, state == 'assigned' and 'matched' or state, #ids)
  end
  notify(views)
end

-- The places (from 0) of the named tickets that are not searching (any more).
local function not_searching()
  local gone = {}
  for i = 1, TICKETS do
    if redis.call('HGET', KEYS[i], 'state') ~= 'searching' then
      gone[#gone + 1] = i - 1
    end
  end
  return gone
end

-- The ids of the tickets of a proposed match; nil where there is none, or it cannot be read.
local function tickets_of_match(mode, match)
  local read, proposal = pcall(cjson.decode, redis.call('HGET', KEY.proposals .. mode, match) or '')
  if read and type(proposal) == 'table' and type(proposal.ticket_ids) == 'table' then
    return proposal.ticket_ids
  end
end

-- The tickets of a ticket's party, the ticket itself among them.
local function with_party(id)
  local party = redis.call('HGET', KEY.ticket .. id, 'party')
  if not party then
    return { id }
  end
  local ids = {}
  for _, field in ipairs(redis.call('HKEYS', KEY.party .. party)) do
    if string.sub(field, 1, 2) == 't:' then
      ids[#ids + 1] = string.sub(field, 3)
    end
  end
  return ids
end

-- Look at all that ending some tickets, with their parties, may touch beside their mode's keys; with
-- `matched`, also at the matches that they were found. What is not named is missing then. Whatever is ended on the way
-- only takes from that.
local function reach(ids, matched)
  local waiting, seen = {}, {}
  for i, id in ipairs(ids) do
    waiting[i] = id
  end
  while #waiting > 0 do
    local id = table.remove(waiting)
    if not seen[id] and is_named(KEY.ticket .. id) then
      local mode, party, match = unpack(redis.call('HMGET', KEY.ticket .. id, 'mode', 'party', 'match'))
      if mode then
        is_named(KEY.live .. mode)
        is_named(KEY.queue .. mode)
      end
      if party and is_named(KEY.party .. party) then
        for _, each in ipairs(with_party(id)) do
          waiting[#waiting + 1] = each
        end
      end
      if matched and mode and match then
        is_named(KEY.accepted .. mode)
        for _, each in ipairs(is_named(KEY.proposals .. mode) and tickets_of_match(mode, match) or {}) do
          waiting[#waiting + 1] = each
        end
      end
    end
    seen[id] = true
  end
end

-- Forget who is in a party whose tickets have ended. One that had queued with a claim queues with it no more.
local function end_party(party)
  local key = KEY.party .. party
  if redis.call('HEXISTS', key, 'claim') == 1 then
    redis.call('HSETNX', key, 'void', CLAIM_USED)
    redis.call('ZREM', KEY.gathering, party)
  else
    redis.call('DEL', key)
  end
end

-- End tickets that search, each with its whole party, unless one of the party has been found a match; the
-- director reads it in the stream. A player whose party another one takes out of the queue reads that.
local function end_searching(mode, state, reason, ids)
  local views, gone, seen, abandoned = {}, {}, {}, 0
  for _, id in ipairs(ids) do
    local party, free = with_party(id), true
    for _, each in ipairs(party) do
      local found = redis.call('HGET', KEY.ticket .. each, 'state')
      free = free and found ~= 'proposed' and found ~= 'accepted'
    end
    local name = free and redis.call('HGET', KEY.ticket .. id, 'party')
    if name then
      end_party(name)
    end
    for _, each in ipairs(party) do
      local found, record = unpack(redis.call('HMGET', KEY.ticket .. each, 'state', 'record'))
      if free and not seen[each] and found == 'searching' then
        seen[each] = true
        abandoned = record and abandoned + 1 or abandoned
        views[#views + 1] = each
        views[#views + 1] = ended_view(each, state, each ~= id and reason == BY_PLAYER and BY_PARTY or reason)
        gone[#gone + 1] = each
      end
    end
  end
  finish(mode, state, views)
  if abandoned > 0 then
    redis.call('HINCRBY', KEY.counters, 'abandoned', abandoned)
  end
  if #gone > 0 then
    redis.call('XADD', KEY.queue .. mode, '*', 'gone', table.concat(gone))
  end
end

-- What is read of a ticket that was cancelled while its match was getting a server.
local function cancel_reason(cancel)
  return cancel and cancel ~= '1' and cancel or BY_PLAYER
end

-- What the named tickets, which are claimed, are like; and all that letting them search again may touch.
local function read_claimed(ids)
  local claimed, cancelled = {}, {}
  for i, id in ipairs(ids) do
    claimed[i] = redis.call('HMGET', KEY.ticket .. id, 'state', 'cancel', 'accept_by')
    if claimed[i][2] then
      cancelled[#cancelled + 1] = id
    end
  end
  reach(cancelled)
  return claimed
end

-- Let claimed tickets, as read_claimed() found them, search again, with their age; those that were cancelled meanwhile
-- end, each with its party. Whoever had been asked to accept the match is told. The places (from 0) of those that
-- ended.
local function search_again(mode, ids, claimed)
  local cancelled, views = {}, {}
  for i, id in ipairs(ids) do
    local state, cancel, asked = unpack(claimed[i])
    if is_live(state) then
      redis.call('HSET', KEY.ticket .. id, 'state', 'searching')
      redis.call('HDEL', KEY.ticket .. id, 'match', 'accept_by')
      if cancel then
        cancelled[#cancelled + 1] = { id, cancel }
      elseif asked then
        views[#views + 1] = id
        views[#views + 1] = string.format(SEARCHING_VIEW, id)
      end
    end
  end
  notify(views)
  if #cancelled == 0 then
    return {}
  end
  for _, each in ipairs(cancelled) do
    end_searching(mode, 'cancelled', cancel_reason(each[2]), { each[1] })
  end
  return not_searching()
end

-- Add a histogram {bucket: count} to the counters.
local function add_histogram(key, buckets)
  for bucket, count in pairs(buckets) do
    redis.call('HINCRBY', key, bucket, count)
  end
end

-- Keep who plays in a match, as its mode's rules read them, for those who come in later. seats: MessagePack
-- of entity, seat, entity, seat …, '' for none; kept_s: seconds to keep all of the match's.
local function keep_seats(match, seats, kept_s)
  if seats ~= '' then
    in_parts('HSET', KEY.seats .. match, cmsgpack.unpack(seats))
    redis.call('EXPIRE', KEY.seats .. match, kept_s)
  end
end

-- The keys of the tickets that are about to be assigned, of their players and of their parties, where the match may
-- outlive them: known_s is not '0'.
local function outlived(known_s)
  local keys = {}
  for i = 1, known_s ~= '0' and TICKETS or 0 do
    local player, party = unpack(redis.call('HMGET', KEYS[i], 'player', 'party'))
    keys[#keys + 1] = KEYS[i]
    if player and is_named(KEY.player .. player) then
      keys[#keys + 1] = KEY.player .. player
    end
    if party and is_named(KEY.party .. party) then
      keys[#keys + 1] = KEY.party .. party
    end
  end
  return keys
end

-- End the named tickets as assigned to a match: their players are notified, they are counted, and their requeue
-- record is kept while the match may be lost with its server (requeue_match.lua). views: MessagePack;
-- statistics: JSON of wait, latency: histograms, and wait_max_s; record: '' for none; kept_s: seconds to keep it;
-- keys: as outlived() found them, to be known for known_s seconds.
local function assign(mode, match, views, statistics, record, kept_s, keys, known_s)
  local ended, ids = {}, named_tickets()
  views, statistics = cmsgpack.unpack(views), cjson.decode(statistics)
  for i, id in ipairs(ids) do
    ended[#ended + 1] = id
    ended[#ended + 1] = views[i]
  end
  finish(mode, 'assigned', ended)
  add_histogram(KEY.wait, statistics.wait)
  add_histogram(KEY.latency, statistics.latency)
  if statistics.wait_max_s > tonumber(redis.call('HGET', KEY.counters, 'wait_max_s') or '0') then
    redis.call('HSET', KEY.counters, 'wait_max_s', tostring(statistics.wait_max_s))
  end
  if record ~= '' then
    redis.call('RPUSH', KEY.match .. match, record)
    redis.call('EXPIRE', KEY.match .. match, kept_s)
    redis.call('ZADD', KEY.playing, NOW + tonumber(kept_s), match)
    redis.call('ZREMRANGEBYSCORE', KEY.playing, '-inf', NOW)
  end
  for _, key in ipairs(keys) do
    redis.call('EXPIRE', key, known_s, 'GT')
  end
end
