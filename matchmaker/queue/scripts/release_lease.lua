-- Leave office at once. ARGV: mode, fence.
if in_office(ARGV[1], ARGV[2]) then
  return redis.call('DEL', KEY.lease .. ARGV[1])
end
return 0
