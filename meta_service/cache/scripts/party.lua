-- All that can happen to a party, each as one step.
-- KEYS  the party, the stream of party changes; then of each named player party-of, invitations, declined players and
--       claims; then of each other named player the invitations alone; then of each other named party its hash
-- ARGV  what, now (ms), how long a party lives untouched (ms), party id, caller's id, other's id (or empty), then the
--       three lists of those who are named, each as their number and their ids; then what the step needs
-- Named have to be: the caller, the other, all members; where the last one leaves, all who are invited; the party that
-- the caller is in; where too many have invited the other, the parties of the oldest invitations. Whoever calls has
-- looked before. What has changed since may concern keys that nobody has named: then nothing is done, and it is to be
-- looked anew.
-- Returns {refusal, party as a flat list}; the refusal is empty when the step was made or had been made
-- before; 'anew': see above.
-- Fields of a party: leader, version, limit, m:<player> = "joined (ms),ready", i:<player> = invited until (ms),
-- b:<player> = by whom; since it queued last, unless it has changed: claim, claim_mode, claim_until (ms),
-- claim_version.
-- Whoever is in a party that queues has among the claims: queued = "claim,until (ms)". Once that claim is void:
-- void_claim = the same, so that no ticket is made with it before the matchmaker has heard of the change. And who is
-- being deleted: erased.
local what, now, life, party_id, caller, other = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local CHANGES_KEPT_MS = 3600000 -- longer than any ticket waits
local MAX_DECLINED = 500 -- players whom one player remembers to have declined
local party, changes = KEYS[1], KEYS[2]
local party_of, invitations, declined, claims, parties = {}, {}, {}, {}, {} -- the keys by id
local more = 7 -- ARGV[more] is the first of what the step needs
do
  local next_key = 3
  for _, kinds in ipairs({{party_of, invitations, declined, claims}, {invitations}, {parties}}) do
    for index = more + 1, more + tonumber(ARGV[more]) do
      for _, kind in ipairs(kinds) do
        kind[ARGV[index]] = KEYS[next_key]
        next_key = next_key + 1
      end
    end
    more = more + tonumber(ARGV[more]) + 1
  end
end
local ANEW = {'anew', {}}

local function fields()
  local flat, found = redis.call('HGETALL', party), {}
  for index = 1, #flat, 2 do
    found[flat[index]] = flat[index + 1]
  end
  return found
end

local state = fields()

-- Whether the caller is in a party, and whether it is not known for want of its key; one that has expired
-- meanwhile is none.
local function in_a_party()
  local current = redis.call('GET', party_of[caller])
  local key = current == party_id and party or parties[current or '']
  return key and redis.call('HEXISTS', key, 'm:' .. caller) == 1, current and not key
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
    redis.call('PEXPIRE', party_of[member.id], life)
  end
end

local function kept_for(until_ms)
  return string.format('%.0f', math.max(1, tonumber(until_ms) - now))
end

-- End the claim with which the party queued: its tickets are taken back. Called before the members change.
local function void(why)
  if not state.claim then
    return
  end
  for _, member in ipairs(members()) do
    redis.call('HDEL', claims[member.id], 'queued')
    redis.call('HSET', claims[member.id], 'void_claim', state.claim .. ',' .. state.claim_until)
    redis.call('PEXPIRE', claims[member.id], kept_for(state.claim_until))
  end
  redis.call('HDEL', party, 'claim', 'claim_mode', 'claim_until', 'claim_version')
  local entry = redis.call('XADD', changes, '*', 'claim', state.claim, 'why', why, 'at', ARGV[2])
  local kept_since = tonumber(string.match(entry, '^%d+')) - CHANGES_KEPT_MS
  redis.call('XTRIM', changes, 'MINID', '~', string.format('%.0f', math.max(0, kept_since)))
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

-- Whether the party ends with this member, and somebody's invitation to it is not named.
local function ends_unnamed(id)
  local joined = members()
  if #joined > 1 or joined[1].id ~= id then
    return false
  end
  for name in pairs(state) do
    local invited = string.match(name, '^i:(%d+)$')
    if invited and not invitations[invited] then
      return true
    end
  end
  return false
end

local function remove(id)
  redis.call('HDEL', party, 'm:' .. id)
  redis.call('DEL', party_of[id])
  state = fields()
  local left = members()
  if #left == 0 then
    for name in pairs(state) do
      local invited = string.match(name, '^i:(%d+)$')
      if invited then
        redis.call('ZREM', invitations[invited], party_id)
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

for _, member in ipairs(members()) do
  if not party_of[member.id] then
    return ANEW
  end
end

-- A request that was let in before its player was deleted: nobody would take them out of the party again.
if (what == 'create' or what == 'accept') and redis.call('HEXISTS', claims[caller], 'erased') == 1 then
  return {'unknown-player', {}}
elseif what == 'create' then
  local is_in, unknown = in_a_party()
  if unknown then
    return ANEW
  elseif is_in then
    return {'in-a-party', {}}
  end
  redis.call('HSET', party, 'leader', caller, 'version', 0, 'limit', ARGV[more])
  join(caller, party_of[caller])
  return changed()
elseif not state.leader then
  return {'unknown-party', {}}
elseif what == 'read' then
  touch()
  return same()
elseif what == 'queue' then
  -- The new claim's id, the mode, until when tickets may be made (ms), the most members that the mode's teams seat (0
  -- where nobody here knows); then the party's version at which it was looked who has logged out, and these as
  -- ",id,id,". Who logs out later changes the version.
  local claim, mode, until_ms = ARGV[more], ARGV[more + 1], ARGV[more + 2]
  local joined, most = members(), tonumber(ARGV[more + 3])
  if state.version ~= ARGV[more + 4] then
    return ANEW
  elseif state.leader ~= caller then
    return same('not-the-leader')
  elseif #joined == 1 then
    return same('party-of-one')
  elseif most > 0 and #joined > most then
    return same('party-too-large')
  end
  for _, member in ipairs(joined) do
    if string.find(ARGV[more + 5], ',' .. member.id .. ',', 1, true) then
      return same('member-logged-out')
    elseif member.id ~= caller and string.sub(state['m:' .. member.id], -1) ~= '1' then
      return same('not-all-ready')
    end
  end
  void('queued-anew')
  redis.call('HSET', party, 'claim', claim, 'claim_mode', mode, 'claim_until', until_ms,
    'claim_version', string.format('%.0f', tonumber(state.version) + 1))
  for _, member in ipairs(joined) do
    redis.call('HSET', claims[member.id], 'queued', claim .. ',' .. until_ms)
    redis.call('PEXPIRE', claims[member.id], kept_for(until_ms))
  end
  return changed()
elseif what == 'accept' then
  if state['m:' .. caller] then
    return same()
  elseif tonumber(state['i:' .. caller] or '0') <= now then
    return {'not-invited', {}}
  end
  local is_in, unknown = in_a_party()
  if unknown then
    return ANEW
  elseif is_in then
    return {'in-a-party', {}}
  elseif #members() >= tonumber(state.limit) then
    return {'party-full', {}}
  end
  void('joined')
  redis.call('ZREM', invitations[caller], party_id)
  join(caller, party_of[caller])
  return changed()
elseif what == 'decline' then
  -- Until when the one who asked may not ask again (ms).
  local asked_by = state['b:' .. caller]
  if uninvite(party, caller, invitations[caller], party_id) then
    if asked_by then
      redis.call('ZREMRANGEBYSCORE', declined[caller], '-inf', now)
      redis.call('ZADD', declined[caller], ARGV[more], asked_by)
      redis.call('ZREMRANGEBYRANK', declined[caller], 0, -1 - MAX_DECLINED)
      redis.call('PEXPIRE', declined[caller], kept_for(ARGV[more]))
    end
    changed()
  end
  return {'', {}}
elseif not state['m:' .. caller] then
  return {'not-a-member', {}}
elseif what == 'leave' then
  if ends_unnamed(caller) then
    return ANEW
  end
  void('left')
  return remove(caller)
elseif what == 'unqueue' then
  if not state.claim then
    return same()
  end
  void('withdrawn')
  return changed()
elseif what == 'absent' then
  -- The caller has logged out. A leader need not be ready, so it is the version that tells a step that looked before.
  if not state.claim and state.leader ~= caller and string.sub(state['m:' .. caller], -1) ~= '1' then
    return same()
  end
  void('logged-out')
  redis.call('HSET', party, 'm:' .. caller, string.match(state['m:' .. caller], '^%d+,') .. '0')
  return changed()
elseif what == 'ready' then
  local mine = state['m:' .. caller]
  local next_mine = string.match(mine, '^%d+,') .. ARGV[more]
  if mine == next_mine then
    return same()
  elseif ARGV[more] == '0' and state.leader ~= caller then
    void('not-ready')
  end
  redis.call('HSET', party, 'm:' .. caller, next_mine)
  return changed()
elseif what == 'invite' then
  -- Until when (ms), most invitations of one party that may be open, most of one player, '1' where the other player
  -- blocks the caller.
  local until_ms, most, list = ARGV[more], tonumber(ARGV[more + 2]), invitations[other]
  if state['m:' .. other] then
    return same()
  elseif redis.call('HEXISTS', claims[other], 'erased') == 1 then
    return same('unknown-player')
  end
  local listed, oldest = redis.call('ZRANGEBYSCORE', list, string.format('(%.0f', now), '+inf'), {}
  for _, of in ipairs(listed) do
    if of ~= party_id then
      oldest[#oldest + 1] = of
    end
  end
  for index = 1, #oldest + 1 - most do -- these make room
    if not parties[oldest[index]] then
      return ANEW
    end
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
  elseif open >= tonumber(ARGV[more + 1]) then
    return same('too-many-invitations')
  end
  redis.call('HSET', party, 'i:' .. other, until_ms, 'b:' .. other, caller)
  local declined_until = tonumber(redis.call('ZSCORE', declined[other], caller) or '0')
  if ARGV[more + 3] ~= '1' and declined_until <= now then -- else the other does not hear of it, and the caller not of that
    redis.call('ZREMRANGEBYSCORE', list, '-inf', now)
    redis.call('ZADD', list, until_ms, party_id)
    for index = 1, #oldest + 1 - most do
      uninvite(parties[oldest[index]], other, list, oldest[index])
    end
    redis.call('PEXPIRE', list, kept_for(until_ms))
  end
  return changed()
elseif what == 'promote' and state.leader == other then
  return same()  -- done before: the answer was lost
elseif what == 'kick' and not state['m:' .. other] then
  if uninvite(party, other, invitations[other], party_id) then
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
  if ends_unnamed(other) then
    return ANEW
  end
  void('kicked')
  return remove(other)
end
return redis.error_reply('no such step: ' .. what)
