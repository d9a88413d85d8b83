-- Expire tickets whose time is up. ARGV: mode, now, at most. Answers how many were due.
local mode, now = ARGV[1], ARGV[2]
local due = redis.call('ZRANGE', KEY.live .. mode, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[3])
local gone, views = {}, {}
for _, id in ipairs(due) do
  if redis.call('HGET', KEY.ticket .. id, 'state') == 'searching' then
    local view = ended_view(id, 'expired', 'no match was found in time')
    finish(id, 'expired', 'no match was found in time', view)
    gone[#gone + 1] = id
    views[#views + 1] = id
    views[#views + 1] = view
  else
    -- Its match is waiting for a server: look again in a second, so that it does not hide others.
    redis.call('ZADD', KEY.live .. mode, now + 1, id)
  end
end
if #gone > 0 then
  redis.call('HINCRBY', KEY.books, 'expired', #gone)
  redis.call('XADD', KEY.queue .. mode, '*', 'gone', table.concat(gone))
  tell(views)
end
return #due
