-- Somebody asks why a ticket waits. ARGV: id, '1' where the question is new, most questions that may wait, seconds
-- for which they do.
-- Answers {what, state, mode, created at, view ('' for none), more}, or nil where there is no such ticket. What:
-- 'ended'; 'placing': its match is getting a server; 'accepting': its players are asked; 'unread': its player has not
-- come back for it; 'party', more: how many of it have come, and of how many; 'told', more: what a director said; else
-- 'asked': its director will see the question, 'unled': nobody would, 'full': too many wait.
local id = ARGV[1]
local state, mode, created_at, view, accept_by, party, record =
  unpack(redis.call('HMGET', KEY.ticket .. id, 'state', 'mode', 'created_at', 'view', 'accept_by', 'party', 'record'))
if not state then
  return false
end
local function answer(what, more)
  return { what, state, mode, created_at, view or '', more or '' }
end
if not is_live(state) then
  return answer('ended')
end
if state ~= 'searching' then
  return answer(accept_by and 'accepting' or 'placing')
end
if record then
  return answer('unread')
end
if party and not is_named(KEY.party .. party) then
  return missing
elseif party then
  local terms, count = unpack(redis.call('HMGET', KEY.party .. party, 'terms', 'count'))
  local size = tonumber(string.match(terms or '', '^%d+') or '0')
  if tonumber(count or '0') < size then
    return answer('party', count .. ' of ' .. size)
  end
end
local told = redis.call('GET', KEY.why_told .. id)
if told then
  return answer('told', told)
end
local key = KEY.why_asked .. mode
if not is_named(key) or not is_named(KEY.lease .. mode) then
  return missing
end
if redis.call('EXISTS', KEY.lease .. mode) == 0 then
  return answer('unled')
end
if ARGV[2] == '1' and not redis.call('LPOS', key, id) then
  if redis.call('LLEN', key) >= tonumber(ARGV[3]) then
    return answer('full')
  end
  redis.call('RPUSH', key, id)
  redis.call('EXPIRE', key, ARGV[4])
end
return answer('asked')
