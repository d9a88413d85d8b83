-- Stop leading a queue at once. ARGV: mode, fence.
if leads(ARGV[1], ARGV[2]) then
  return redis.call('DEL', KEY.lease .. ARGV[1])
end
return 0
