-- Say which node has a partition: another after each start of it, and after each promotion.
-- KEYS  any key of the partition, so that its node is asked
-- Returns "run_id.master_replid", each empty where the cache does not tell.
local function field(section, name)
  local answer = redis.pcall('INFO', section)
  return type(answer) == 'string' and string.match(answer, name .. ':(%w+)') or ''
end
return field('server', 'run_id') .. '.' .. field('replication', 'master_replid')
