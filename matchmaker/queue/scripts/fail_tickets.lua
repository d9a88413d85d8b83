-- End tickets that search and can never match, with their parties. ARGV: mode, fence, reason; they are named.
local mode, fence = ARGV[1], ARGV[2]
if not leads(mode, fence) then
  return STALE
end
local ids = named_tickets()
reach(ids)
if lacks_keys() then
  return missing
end
end_searching(mode, 'failed', ARGV[3], ids)
return 1
