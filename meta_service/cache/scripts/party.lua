-- All that can happen to a party, each as one step.
-- KEYS  the party, then: party-of, invitations, player hash and declined players of the caller, and the same four of
--       the other player (those of the caller again where no other is concerned); the stream of party changes
-- ARGV  what, now (ms), how long a party lives untouched (ms), party id, caller's id, other's id (or
--       empty), the prefixes of party-of, invitations and player keys (which share these keys' slot in a cluster),
--       then what the step needs
-- Returns {refusal, party as a flat list}; the refusal is empty when the step was made or had been made
-- before.
-- Fields of a party: leader, version, limit, m:<player> = "joined (ms),ready", i:<player> = invited until (ms),
-- b:<player> = by whom; since it queued last, unless it has changed: claim, claim_mode, claim_until (ms),
-- claim_version.
-- Whoever is in a party that queues has in the player hash: queued = "claim,until (ms)". Once that claim is void:
-- void_claim = the same, so that no ticket is made with it before the matchmaker has heard of the change.
local what, now, life, party_id, caller, other = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local CHANGES_KEPT_MS = 3600000 -- longer than any ticket waits
local MAX_DECLINED = 500 -- players whom one player remembers to have declined
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

-- End the claim with which the party queued: its tickets are taken back. Called before the members change.
local function void(why)
  if not state.claim then
    return
  end
  for _, member in ipairs(members()) do
    local hash = ARGV[9] .. member.id
    if redis.call('HDEL', hash, 'queued') == 1 then
      redis.call('HSET', hash, 'void_claim', state.claim .. ',' .. state.claim_until)
    end
  end
  redis.call('HDEL', party, 'claim', 'claim_mode', 'claim_until', 'claim_version')
  local entry = redis.call('XADD', KEYS[10], '*', 'claim', state.claim, 'why', why, 'at', ARGV[2])
  local kept_since = tonumber(string.match(entry, '^%d+')) - CHANGES_KEPT_MS
  redis.call('XTRIM', KEYS[10], 'MINID', '~', string.format('%.0f', math.max(0, kept_since)))
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
  redis.call('HDEL', party, 'i:' .. id, 'b:' .. id)
  redis.call('SET', of, party_id)
end

-- Take an open invitation back, of this party or of another one.
local function uninvite(of, id, list, from)
  redis.call('ZREM', list, from)
  return redis.call('HDEL', of, 'i:' .. id, 'b:' .. id) > 0
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

-- A request that was let in before its player was deleted: nobody would take them out of the party again.
if (what == 'create' or what == 'accept') and redis.call('HEXISTS', KEYS[4], 'erased') == 1 then
  return {'unknown-player', {}}
elseif what == 'create' then
  if current_party() then
    return {'in-a-party', {}}
  end
  redis.call('HSET', party, 'leader', caller, 'version', 0, 'limit', ARGV[10])
  join(caller, KEYS[2])
  return changed()
elseif not state.leader then
  return {'unknown-party', {}}
elseif what == 'read' then
  touch()
  return same()
elseif what == 'queue' then
  -- ARGV[10]: the new claim's id; ARGV[11]: the mode; ARGV[12]: until when tickets may be made (ms); ARGV[13]: the
  -- most members that the mode's teams seat, 0 where nobody here knows.
  local joined, most = members(), tonumber(ARGV[13])
  if state.leader ~= caller then
    return same('not-the-leader')
  elseif #joined == 1 then
    return same('party-of-one')
  elseif most > 0 and #joined > most then
    return same('party-too-large')
  end
  for _, member in ipairs(joined) do
    if redis.call('HGET', ARGV[9] .. member.id, 'session_state') == 'revoked' then
      return same('member-logged-out')
    elseif member.id ~= caller and string.sub(state['m:' .. member.id], -1) ~= '1' then
      return same('not-all-ready')
    end
  end
  void('queued-anew')
  redis.call('HSET', party, 'claim', ARGV[10], 'claim_mode', ARGV[11], 'claim_until', ARGV[12],
    'claim_version', string.format('%.0f', tonumber(state.version) + 1))
  for _, member in ipairs(joined) do
    if redis.call('HEXISTS', ARGV[9] .. member.id, 'skin') == 1 then
      redis.call('HSET', ARGV[9] .. member.id, 'queued', ARGV[10] .. ',' .. ARGV[12])
    end
  end
  return changed()
elseif what == 'accept' then
  if state['m:' .. caller] then
    return same()
  elseif tonumber(state['i:' .. caller] or '0') <= now then
    return {'not-invited', {}}
  elseif current_party() then
    return {'in-a-party', {}}
  elseif #members() >= tonumber(state.limit) then
    return {'party-full', {}}
  end
  void('joined')
  redis.call('ZREM', KEYS[3], party_id)
  join(caller, KEYS[2])
  return changed()
elseif what == 'decline' then
  -- ARGV[10]: until when the one who asked may not ask again (ms).
  local asked_by = state['b:' .. caller]
  if uninvite(party, caller, KEYS[3], party_id) then
    if asked_by then
      redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
      redis.call('ZADD', KEYS[5], ARGV[10], asked_by)
      redis.call('ZREMRANGEBYRANK', KEYS[5], 0, -1 - MAX_DECLINED)
      redis.call('PEXPIRE', KEYS[5], string.format('%.0f', math.max(1, tonumber(ARGV[10]) - now)))
    end
    changed()
  end
  return {'', {}}
elseif not state['m:' .. caller] then
  return {'not-a-member', {}}
elseif what == 'leave' then
  void('left')
  return remove(caller)
elseif what == 'unqueue' then
  if not state.claim then
    return same()
  end
  void('withdrawn')
  return changed()
elseif what == 'absent' then
  -- The caller has logged out.
  if not state.claim and string.sub(state['m:' .. caller], -1) ~= '1' then
    return same()
  end
  void('logged-out')
  redis.call('HSET', party, 'm:' .. caller, string.match(state['m:' .. caller], '^%d+,') .. '0')
  return changed()
elseif what == 'ready' then
  local mine = state['m:' .. caller]
  local next_mine = string.match(mine, '^%d+,') .. ARGV[10]
  if mine == next_mine then
    return same()
  elseif ARGV[10] == '0' and state.leader ~= caller then
    void('not-ready')
  end
  redis.call('HSET', party, 'm:' .. caller, next_mine)
  return changed()
elseif what == 'invite' then
  -- ARGV[10]: until when (ms); ARGV[11]: most invitations of one party that may be open; ARGV[12]: most of one player;
  -- ARGV[13]: '1' where the other player blocks the caller.
  if state['m:' .. other] then
    return same()
  elseif redis.call('HEXISTS', KEYS[8], 'skin') == 0 then
    return same('unknown-player')
  end
  local open = 0
  for name, value in pairs(state) do
    if string.sub(name, 1, 2) == 'i:' then
      if tonumber(value) <= now then
        redis.call('HDEL', party, name, 'b:' .. string.sub(name, 3))
      elseif name ~= 'i:' .. other then
        open = open + 1
      end
    end
  end
  if #members() >= tonumber(state.limit) then
    return same('party-full')
  elseif open >= tonumber(ARGV[11]) then
    return same('too-many-invitations')
  end
  redis.call('HSET', party, 'i:' .. other, ARGV[10], 'b:' .. other, caller)
  local declined_until = tonumber(redis.call('ZSCORE', KEYS[9], caller) or '0')
  if ARGV[13] ~= '1' and declined_until <= now then -- else the other does not hear of it, and the caller not of that
    redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now)
    redis.call('ZADD', KEYS[7], ARGV[10], party_id)
    local prefix = string.sub(party, 1, #party - #party_id)
    while redis.call('ZCARD', KEYS[7]) > tonumber(ARGV[12]) do -- the oldest makes room
      local oldest = redis.call('ZRANGE', KEYS[7], 0, 0)[1]
      uninvite(prefix .. oldest, other, KEYS[7], oldest)
    end
    redis.call('PEXPIRE', KEYS[7], string.format('%.0f', math.max(1, tonumber(ARGV[10]) - now)))
  end
  return changed()
elseif what == 'promote' and state.leader == other then
  return same()  -- done before: the answer was lost
elseif what == 'kick' and not state['m:' .. other] then
  if uninvite(party, other, KEYS[7], party_id) then
    return changed()
  end
  return same()
elseif state.leader ~= caller then
  return same('not-the-leader')
elseif what == 'promote' then
  if not state['m:' .. other] then
    return same('not-in-the-party')
  end
  redis.call('HSET', party, 'leader', other)
  return changed()
elseif what == 'kick' then
  void('kicked')
  return remove(other)
end
return redis.error_reply('no such step: ' .. what)
