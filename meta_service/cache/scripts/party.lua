-- All that can happen to a party, each as one step.
-- KEYS  the party, then: party-of, invitations and player hash of the caller, and the same three of the
--       other player (those of the caller again where no other is concerned)
-- ARGV  what, now (ms), how long a party lives untouched (ms), party id, caller's id, other's id (or
--       empty), the prefixes of party-of and invitations keys (which share these keys' slot in a cluster),
--       then what the step needs
-- Returns {refusal, party as a flat list}; the refusal is empty when the step was made or had been made
-- before.
-- Fields of a party: leader, version, limit, ticket, m:<player> = "joined (ms),ready", i:<player> = invited
-- until (ms).
local what, now, life, party_id, caller, other = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local party = KEYS[1]

local function fields()
  local flat, found = redis.call('HGETALL', party), {}
  for index = 1, #flat, 2 do
    found[flat[index]] = flat[index + 1]
  end
  return found
end

local state = fields()

-- The party that the caller is in; one that has expired meanwhile is none.
local function current_party()
  local current = redis.call('GET', KEYS[2])
  local prefix = string.sub(party, 1, #party - #party_id)
  return current and redis.call('HEXISTS', prefix .. current, 'm:' .. caller) == 1 and current
end

local function members()
  local found = {}
  for name, value in pairs(state) do
    local id = string.match(name, '^m:(%d+)$')
    if id then
      found[#found + 1] = {id = id, joined = tonumber(string.match(value, '^%d+'))}
    end
  end
  table.sort(found, function(a, b)
    return a.joined < b.joined or (a.joined == b.joined and a.id < b.id)
  end)
  return found
end

local function touch()
  redis.call('PEXPIRE', party, life)
  for _, member in ipairs(members()) do
    redis.call('PEXPIRE', ARGV[7] .. member.id, life)
  end
end

local function changed()
  redis.call('HINCRBY', party, 'version', 1)
  state = fields()
  touch()
  return {'', redis.call('HGETALL', party)}
end

local function same(refusal)
  return {refusal or '', redis.call('HGETALL', party)}
end

local function join(id, of)
  redis.call('HSET', party, 'm:' .. id, string.format('%.0f,0', now))
  redis.call('HDEL', party, 'i:' .. id)
  redis.call('SET', of, party_id)
end

local function remove(id)
  redis.call('HDEL', party, 'm:' .. id)
  redis.call('DEL', ARGV[7] .. id)
  state = fields()
  local left = members()
  if #left == 0 then
    for name in pairs(state) do
      local invited = string.match(name, '^i:(%d+)$')
      if invited then
        redis.call('ZREM', ARGV[8] .. invited, party_id)
      end
    end
    redis.call('DEL', party)
    state = {}
    return {'', {}}
  end
  if state.leader == id then
    redis.call('HSET', party, 'leader', left[1].id)
  end
  return changed()
end

if what == 'create' then
  if current_party() then
    return {'in-a-party', {}}
  end
  redis.call('HSET', party, 'leader', caller, 'version', 0, 'limit', ARGV[9])
  join(caller, KEYS[2])
  return changed()
elseif not state.leader then
  return {'unknown-party', {}}
elseif what == 'read' then
  touch()
  return same()
elseif what == 'queue' then
  -- The caller is the leader; ARGV[9] is the ticket.
  if state.leader ~= caller then
    return same('not-the-leader')
  elseif state.ticket and state.ticket ~= ARGV[9] then
    return same('party-queued')
  elseif state.ticket then
    return same()
  end
  for _, member in ipairs(members()) do
    if member.id ~= caller and string.sub(state['m:' .. member.id], -1) ~= '1' then
      return same('not-all-ready')
    end
  end
  redis.call('HSET', party, 'ticket', ARGV[9])
  return changed()
elseif what == 'unqueue' then
  if state.ticket == ARGV[9] then
    redis.call('HDEL', party, 'ticket')
    return changed()
  end
  return same()
elseif what == 'accept' then
  if state['m:' .. caller] then
    return same()
  elseif tonumber(state['i:' .. caller] or '0') <= now then
    return {'not-invited', {}}
  elseif current_party() then
    return {'in-a-party', {}}
  elseif state.ticket then
    return {'party-queued', {}}
  elseif #members() >= tonumber(state.limit) then
    return {'party-full', {}}
  end
  redis.call('ZREM', KEYS[3], party_id)
  join(caller, KEYS[2])
  return changed()
elseif what == 'decline' then
  redis.call('ZREM', KEYS[3], party_id)
  if redis.call('HDEL', party, 'i:' .. caller) == 1 then
    changed()
  end
  return {'', {}}
elseif not state['m:' .. caller] then
  return {'not-a-member', {}}
elseif what == 'leave' then
  if state.ticket then
    redis.call('HDEL', party, 'ticket')  -- the remaining members queue again
  end
  return remove(caller)
elseif what == 'ready' then
  local mine = state['m:' .. caller]
  local next_mine = string.match(mine, '^%d+,') .. ARGV[9]
  if mine == next_mine then
    return same()
  elseif state.ticket then
    return same('party-queued')
  end
  redis.call('HSET', party, 'm:' .. caller, next_mine)
  return changed()
elseif what == 'invite' then
  -- ARGV[9]: until when (ms); ARGV[10]: most invitations that may be open.
  if state['m:' .. other] then
    return same()
  elseif redis.call('HEXISTS', KEYS[7], 'skin') == 0 then
    return same('unknown-player')
  end
  local open = 0
  for name, value in pairs(state) do
    if string.sub(name, 1, 2) == 'i:' then
      if tonumber(value) <= now then
        redis.call('HDEL', party, name)
      elseif name ~= 'i:' .. other then
        open = open + 1
      end
    end
  end
  if #members() >= tonumber(state.limit) then
    return same('party-full')
  elseif open >= tonumber(ARGV[10]) then
    return same('too-many-invitations')
  end
  redis.call('HSET', party, 'i:' .. other, ARGV[9])
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)
  redis.call('ZADD', KEYS[6], ARGV[9], party_id)
  redis.call('PEXPIRE', KEYS[6], string.format('%.0f', math.max(1, tonumber(ARGV[9]) - now)))
  return changed()
elseif what == 'promote' and state.leader == other then
  return same()  -- done before: the answer was lost
elseif what == 'kick' and not state['m:' .. other] then
  if redis.call('HDEL', party, 'i:' .. other) == 1 then
    redis.call('ZREM', KEYS[6], party_id)
    return changed()
  end
  return same()
elseif state.leader ~= caller then
  return same('not-the-leader')
elseif state.ticket then
  return same('party-queued')
elseif what == 'promote' then
  if not state['m:' .. other] then
    return same('not-in-the-party')
  end
  redis.call('HSET', party, 'leader', other)
  return changed()
elseif what == 'kick' then
  return remove(other)
end
return redis.error_reply('no such step: ' .. what)
