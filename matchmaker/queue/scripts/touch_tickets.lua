-- Players gave a sign of life: they read their tickets, or hold a stream or poll open. ARGV: ids, joined.
local seen, clock = {}, redis.call('HGET', KEY.attended, 'clock') or '0'
for _, id in ipairs(ids_of(ARGV[1])) do
  seen[#seen + 1] = clock
  seen[#seen + 1] = id
end
in_parts('ZADD', KEY.seen, seen, 'XX')
return 1
