-- A ticket's hash: player, mode, state, reason, created_at, expires_at, client_key, match, view.
-- States: searching, proposed (its match has no server yet; players see "searching"), and the final ones, of which a
-- ticket reaches exactly one: assigned, cancelled, expired, failed.

local function is_live(state)
  return state == 'searching' or state == 'proposed'
end

-- Whether the caller is still the director in office of this queue.
local function in_office(mode, fence)
  return redis.call('GET', KEY.lease .. mode) == fence
end

local STALE = { err = 'STALE another director has the lease' }

-- End a live ticket. The caller has checked its state, and counts it in the books.
local function finish(id, state, reason, view)
  local key = KEY.ticket .. id
  local player, mode = unpack(redis.call('HMGET', key, 'player', 'mode'))
  redis.call('HSET', key, 'state', state, 'reason', reason, 'view', view)
  redis.call('EXPIRE', key, RETENTION_S)
  -- The player's pointer stays as long, so that a repeated creation finds the ticket that it made.
  redis.call('EXPIRE', KEY.player .. player, RETENTION_S)
  redis.call('ZREM', KEY.live .. mode, id)
end

-- What a player reads of a ticket that ended without an assignment. All parts are plain ASCII of ours.
local function ended_view(id, state, reason)
  return string.format('{"ticket_id":"%s","state":"%s","reason":"%s","assignment":null}', id, state, reason)
end

-- Tell the waiters: a flat list of id, view, id, view …
local function tell(views)
  local now_s = tonumber(redis.call('TIME')[1])
  local kept_since = string.format('%d', (now_s - TOLD_KEPT_S) * 1000)
  redis.call('XADD', KEY.told, 'MINID', '~', kept_since, '*', unpack(views))
end

-- Add a histogram {bucket: count} to the books.
local function add_histogram(key, buckets)
  for bucket, count in pairs(buckets) do
    redis.call('HINCRBY', key, bucket, count)
  end
end
