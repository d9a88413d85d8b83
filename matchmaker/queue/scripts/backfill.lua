-- An opening's hash, one a running match with free seats: revision, offer (JSON), seats (JSON list of entities), over ('1': decided),
-- until (milliseconds: stale after that), and for each joining, players who come together: 'j:' .. id, its state; 'p:' .. id, the
-- players (JSON); 's:' .. id, their entities (JSON); and 'e:' .. entity, the joining that a seat is reserved for.
-- A joining is reserved, then told (its server knows), then seated (it is checked out, its seats are open), then assigned (its players
-- know). Before that it may be refused by the server, or withdrawn while the server does not know of it or is not heard any more.
local OPEN_MS = 5000
local KEPT_MS = 120000

local function now_ms()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

-- Whether the match's server is still heard of.
local function is_heard(key)
  return tonumber(redis.call('HGET', key, 'until') or '0') > now_ms()
end

-- Forget a joining; its seats are free again.
local function forget(key, id)
  for _, entity in ipairs(cjson.decode(redis.call('HGET', key, 's:' .. id) or '[]')) do
    if redis.call('HGET', key, 'e:' .. entity) == id then
      redis.call('HDEL', key, 'e:' .. entity)
    end
  end
  redis.call('HDEL', key, 'j:' .. id, 'p:' .. id, 's:' .. id)
end
