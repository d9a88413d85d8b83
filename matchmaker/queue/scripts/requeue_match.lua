-- A match was lost with its game server: its players who still wait for it get a new ticket with the old
-- age, once.
-- ARGV: match id, the element of its list to requeue, mode, regions, reason, seconds to keep, until when a
-- player may come back, when tickets expire that are searched for; as MessagePack for each ticket: id,
-- player, new id, enqueued at (all three are named); then the new records, and as MessagePack the attributes of each (nothing
-- where the mode's rules read nothing); how many refusals at the check-out end a ticket ('0': its players were
-- not refused).
-- Answers {tickets made, tickets that got the old age}, or nil where that element has been requeued
-- already, or the match is over. A new ticket is searched for once its player has read it
-- (reclaim_ticket.lua): they may be gone for good.
local match, mode, regions, reason, keep_s, back_by = ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if not redis.call('LPOS', KEY.match .. match, ARGV[2]) then
  return false
end

local tickets = cmsgpack.unpack(ARGV[9])
local record_bytes = #ARGV[10] / #tickets
local given, most_refusals = cmsgpack.unpack(ARGV[11]), tonumber(ARGV[12])
local parties, waits, queued_again, broken = {}, {}, {}, {}
for i, ticket in ipairs(tickets) do
  local id, player = ticket[1], ticket[2]
  local last, party = redis.call('GET', KEY.player .. player), redis.call('HGET', KEY.ticket .. id, 'party')
  parties[i], waits[i] = party, last == id
  local together = waits[i]
  if party then
    is_named(KEY.party .. party)
  end
  if last and last ~= id and is_named(KEY.ticket .. last) then
    local state, of, with, record = unpack(redis.call('HMGET', KEY.ticket .. last, 'state', 'mode', 'party', 'record'))
    if state == 'searching' and of == mode then
      queued_again[i] = not record and last or nil
      together = with == party
    end
  end
  if party and not together then
    broken[party] = true -- one of them plays on without the others: a party is searched for whole, or not at all
  end
end

if lacks_keys() then
  return missing
end
redis.call('LREM', KEY.match .. match, 1, ARGV[2])
if redis.call('EXISTS', KEY.match .. match) == 0 then
  redis.call('ZREM', KEY.playing, match)
end

-- A place in the party, which begins anew where nobody has come back to it on their own.
local begun = {}
local function joins(party, id)
  local key = KEY.party .. party
  local terms, void, claim = unpack(redis.call('HMGET', key, 'terms', 'void', 'claim'))
  if not terms or void then -- it has changed since
    return false
  end
  if not begun[party] then
    begun[party] = true
    local live = false
    for i, of in pairs(parties) do
      live = live or of == party and not waits[i]
    end
    if not live then
      redis.call('DEL', key)
      redis.call('HSET', key, 'terms', terms)
      if claim then
        redis.call('HSET', key, 'claim', claim)
      end
    end
  end
  redis.call('HSET', key, 't:' .. id, '1')
  redis.call('HINCRBY', key, 'count', 1)
  redis.call('EXPIRE', key, keep_s)
  return true
end

local views, made, backdated, since, live = {}, 0, {}, {}, {}
for i, ticket in ipairs(tickets) do
  local id, player, new, enqueued_at = unpack(ticket)
  local party = parties[i]
  if waits[i] then
    local stored, client_key, wish, refused =
      unpack(redis.call('HMGET', KEY.ticket .. id, 'view', 'client_key', 'wish', 'refused'))
    local view = cjson.decode(stored)
    refused = tonumber(refused or '0') + (most_refusals > 0 and 1 or 0)
    if most_refusals > 0 and refused >= most_refusals then
      view.reason = reason .. '; the ticket has ended: queue again in a while'
    elseif party and (broken[party] or not joins(party, new)) then
      view.reason = reason .. '; the party is not whole any more: queue again'
    else
      local key = KEY.ticket .. new
      redis.call('HSET', key, 'player', player, 'mode', mode, 'state', 'searching', 'created_at', enqueued_at, 'client_key',
        client_key or '', 'wish', wish or '', 'record', string.sub(ARGV[10], (i - 1) * record_bytes + 1, i * record_bytes), 'regions', regions,
        'expires_at', ARGV[8])
      if party then
        redis.call('HSET', key, 'party', party)
      end
      if given[i] then
        redis.call('HSET', key, 'attributes', given[i])
      end
      if refused > 0 then
        redis.call('HSET', key, 'refused', refused)
      end
      redis.call('EXPIRE', key, keep_s)
      redis.call('SET', KEY.player .. player, new, 'EX', keep_s)
      live[#live + 1] = back_by
      live[#live + 1] = new
      made = made + 1
      view.reason = reason .. '; you are in the queue again'
      view.requeued_as = new
    end
    local changed = cjson.encode(view)
    redis.call('HSET', KEY.ticket .. id, 'view', changed)
    redis.call('HDEL', KEY.ticket .. id, 'assigned_at')
    views[#views + 1] = id
    views[#views + 1] = changed
  elseif queued_again[i] and tonumber(redis.call('HGET', KEY.ticket .. queued_again[i], 'created_at')) > tonumber(enqueued_at) then
    redis.call('HSET', KEY.ticket .. queued_again[i], 'created_at', enqueued_at)
    backdated[#backdated + 1] = queued_again[i]
    since[#since + 1] = struct.pack('<d', tonumber(enqueued_at))
  end
end
if made > 0 then
  in_parts('ZADD', KEY.live .. mode, live)
  redis.call('HINCRBY', KEY.counters, 'queued', made)
  redis.call('HINCRBY', KEY.counters, 'requeued', made)
end
if #backdated > 0 then
  redis.call('HINCRBY', KEY.counters, 'backdated', #backdated)
  redis.call('XADD', KEY.queue .. mode, '*', 'backdated', table.concat(backdated), 'since', table.concat(since))
end
notify(views)
return { made, #backdated }
