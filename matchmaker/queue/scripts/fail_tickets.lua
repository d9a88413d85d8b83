-- End tickets that search and can never match, with their parties. ARGV: mode, fence, reason, ids.
local mode, fence = ARGV[1], ARGV[2]
if not leads(mode, fence) then
  return STALE
end
end_searching(mode, 'failed', ARGV[3], ids_of(ARGV[4]))
return 1
