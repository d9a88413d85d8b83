-- A running match that requests backfill is a hash: revision, request (JSON, as its game server sent it),
-- slots (JSON list of the free entities), over ('1': decided), until (Unix seconds: silent after that);
-- and for each proposal, players who come together: 'state:' .. id; 'players:' .. id (JSON); 'slots:' ..
-- id, their entities (JSON); and 'slot:' .. entity, the proposal that holds it. A proposal is reserved,
-- then offered (its server knows), then admitted (its players are checked out, their slots open), then
-- assigned (its players know). Before that it may be rejected by the server, or withdrawn while the server
-- does not know of it or is silent.
local SILENT_AFTER_S = 5
local KEPT_S = 120

-- Whether the match's server is still heard of.
local function is_heard(key)
  return tonumber(redis.call('HGET', key, 'until') or '0') > NOW
end

-- Remove a proposal; its slots are free again.
local function remove_proposal(key, id)
  for _, entity in ipairs(cjson.decode(redis.call('HGET', key, 'slots:' .. id) or '[]')) do
    if redis.call('HGET', key, 'slot:' .. entity) == id then
      redis.call('HDEL', key, 'slot:' .. entity)
    end
  end
  redis.call('HDEL', key, 'state:' .. id, 'players:' .. id, 'slots:' .. id)
end
