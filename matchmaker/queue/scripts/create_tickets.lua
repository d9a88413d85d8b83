-- Create tickets; one live ticket a player.
-- KEYS: the tickets, their players in the same order, then the parties.
-- ARGV: mode, regions, seconds to keep, and as MessagePack for each ticket: client key ('' for none), what that
-- stands for, created at, expires at, '1' where it ends without signs of life of its player; of a party also its name, its size, what all of it must agree on beside the mode, and until when tickets may be made for it
-- ('' where no claim says so); of a player whose party queues without this ticket '' and that party's name; then
-- the records, all of one length, in one string; where the mode's rules read attributes, those of each
-- ticket, as MessagePack.
-- Answers for each ticket: 1 where it was made, else {'repeated'|'busy'|'other-wish'|'mismatch'|'party-changed'|
-- 'party-claim-used'|'party-queued', id of the player's ticket}.
-- A client key stands for one wish for as long as its ticket lives, and for RETRY_S after its assignment: a client
-- whose answer was lost asks again by then. After any other end it makes a new ticket.
local RETRY_S = 30
local mode, regions, keep_s = ARGV[1], ARGV[2], ARGV[3]
local answers, records, live, seen, attributes = {}, {}, {}, {}, {}
local clock
local given = ARGV[6] and cmsgpack.unpack(ARGV[6])

-- Whether any ticket of a party has no end yet.
local function any_live(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 't:' and is_live(redis.call('HGET', KEY.ticket .. string.sub(field, 3), 'state')) then
      return true
    end
  end
  return false
end

-- Let a ticket join its party: all have the same terms, and there is room for it. Returns why it may not.
-- A party with a claim queues once: its members are known, each comes once, and all by the time that the claim says.
local function refused_by(party, size, terms, id, player, by)
  local key = KEY.party .. party
  local known, count, void, claim = unpack(redis.call('HMGET', key, 'terms', 'count', 'void', 'claim'))
  terms = terms .. ':' .. mode
  if void then
    return void == CLAIM_USED and 'party-claim-used' or 'party-changed'
  elseif by ~= '' and known and redis.call('HEXISTS', key, 'p:' .. player) == 1 then
    return 'party-claim-used'
  end
  if known and by == '' and tonumber(count) >= tonumber(size) and not any_live(key) then
    redis.call('DEL', key) -- it has played, and queues again
    known = false
  end
  if known and (known ~= terms or tonumber(count) >= tonumber(size)) then
    return 'mismatch'
  end
  redis.call('HSET', key, 'terms', terms, 't:' .. id, '1')
  count = redis.call('HINCRBY', key, 'count', 1)
  redis.call('EXPIRE', key, keep_s)
  if by ~= '' then
    redis.call('HSET', key, 'claim', '1', 'p:' .. player, '1')
    if count >= tonumber(size) then
      redis.call('ZREM', KEY.gathering, party)
    elseif count == 1 then
      redis.call('ZADD', KEY.gathering, by, party)
    end
  end
end

-- Whether a party that queues still waits for tickets of its members.
local function gathers(party)
  local terms, count, void = unpack(redis.call('HMGET', KEY.party .. party, 'terms', 'count', 'void'))
  return not void and not (terms and tonumber(count) >= tonumber(string.match(terms, '^%d+')))
end

local ids, tickets = named_tickets(), cmsgpack.unpack(ARGV[4])
local record_bytes = #ARGV[5] / #tickets

-- What is read beside what is named: the players' last tickets, and, where a party is full and may queue again, its
-- tickets.
local coming = {}
for i = TICKETS + 1, 2 * TICKETS, 4000 do
  local last = math.min(i + 3999, 2 * TICKETS)
  if redis.call('EXISTS', unpack(KEYS, i, last)) > 0 then
    for _, id in ipairs(redis.call('MGET', unpack(KEYS, i, last))) do
      if id then
        is_named(KEY.ticket .. id)
      end
    end
  end
end
for _, ticket in ipairs(tickets) do
  local party, size = ticket[6], ticket[7]
  if party and party ~= '' then
    coming[party] = coming[party] or tonumber(redis.call('HGET', KEY.party .. party, 'count') or '0')
    local full = ticket[9] == '' and coming[party] >= tonumber(size)
    for _, field in ipairs(full and redis.call('HKEYS', KEY.party .. party) or {}) do
      if string.sub(field, 1, 2) == 't:' then
        is_named(KEY.ticket .. string.sub(field, 3))
      end
    end
    coming[party] = coming[party] + 1
  end
end
if lacks_keys() then
  return missing
end

for i, ticket in ipairs(tickets) do
  local client_key, wish, created_at, expires_at, watched, party, size, terms, by = unpack(ticket)
  local queues = party == '' and size -- without this ticket
  party = party ~= '' and party or nil
  local id, key, pointer = ids[i], KEYS[i], KEYS[TICKETS + i]
  local player = string.sub(pointer, #KEY.player + 1)
  -- Nearly always the player has no ticket: then one command looks, and makes this one theirs.
  local last = redis.call('SET', pointer, id, 'NX', 'GET', 'EX', keep_s)
  local answer = 1
  if last then
    local state, last_client_key, last_wish, at =
      unpack(redis.call('HMGET', KEY.ticket .. last, 'state', 'client_key', 'wish', 'assigned_at'))
    local same_key = client_key ~= '' and last_client_key == client_key
    local same_wish = same_key and (last_wish or wish) == wish
    if same_wish and (is_live(state) or at and NOW - tonumber(at) < RETRY_S) then
      answer = { 'repeated', last }
    elseif is_live(state) then
      answer = { same_key and 'other-wish' or 'busy', last }
    end
  end
  if answer == 1 and (party or queues) then
    local refusal
    if party then
      refusal = refused_by(party, size, terms, id, player, by)
    else
      refusal = gathers(queues) and 'party-queued' or nil
    end
    if refusal then
      answer = { refusal, id }
    end
  end
  if answer == 1 then
    if last then
      redis.call('SET', pointer, id, 'EX', keep_s)
    end
  elseif not last then
    redis.call('DEL', pointer)
  end
  if answer == 1 then
    if party then
      redis.call('HSET', key, 'player', player, 'mode', mode, 'state', 'searching', 'created_at', created_at,
        'client_key', client_key, 'wish', wish, 'party', party)
    elseif client_key == '' then
      redis.call('HSET', key, 'player', player, 'mode', mode, 'state', 'searching', 'created_at', created_at)
    else
      redis.call('HSET', key, 'player', player, 'mode', mode, 'state', 'searching', 'created_at', created_at,
        'client_key', client_key, 'wish', wish)
    end
    redis.call('EXPIRE', key, keep_s)
    live[#live + 1] = expires_at
    live[#live + 1] = id
    if watched == '1' then
      clock = clock or redis.call('HGET', KEY.attended, 'clock') or '0'
      seen[#seen + 1] = clock
      seen[#seen + 1] = id
    end
    if given then
      attributes[#attributes + 1] = given[i]
    end
    records[#records + 1] = string.sub(ARGV[5], (i - 1) * record_bytes + 1, i * record_bytes)
  end
  answers[i] = answer
end
if #records > 0 then
  in_parts('ZADD', KEY.live .. mode, live)
  in_parts('ZADD', KEY.seen, seen)
  redis.call('HINCRBY', KEY.counters, 'queued', #records)
  local entry = { 'tickets', table.concat(records), 'regions', regions }
  if given then
    entry[5], entry[6] = 'attributes', cmsgpack.pack(attributes)
  end
  redis.call('XADD', KEY.queue .. mode, '*', unpack(entry))
end
return answers
