-- Give the tickets of a proposal back to the search, with their age, and its slots to others; those whose
-- players cancelled meanwhile end. ARGV: mode, fence, proposal id, match id; the tickets are named.
-- Answers the places (from 0) of the tickets that ended; {-1} while the server may have admitted the players:
-- it will say so, or fall silent.
local mode, fence, id, key = ARGV[1], ARGV[2], ARGV[3], KEY.open_match .. ARGV[4]
if not leads(mode, fence) then
  return STALE
end
local state = is_heard(key) and redis.call('HGET', key, 'state:' .. id)
if state == 'offered' or state == 'admitted' then
  return { -1 }
end
local ids = named_tickets()
local claimed = read_claimed(ids)
if lacks_keys() then
  return missing
end
if redis.call('HDEL', KEY.claims .. mode, id) == 0 then
  return {}
end
remove_proposal(key, id)
return search_again(mode, ids, claimed)
