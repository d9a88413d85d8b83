-- Read a window of a board, all of one moment: the numbers of `meta_service.cache.ranking`.
-- KEYS  the board
-- ARGV  places before the window, places in it, a member around whom the window is instead (or ''), neighbours on
--       each side, what a sum is multiplied by in a number
-- Returns {players on the board, places before the window, players with a greater sum than the first of the
-- window, {member, number, …}}; no places where the member is not on the board.
local key, first, count = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local total = redis.call('ZCARD', key)
if ARGV[3] ~= '' then
  local place = redis.call('ZRANK', key, ARGV[3])
  if not place then
    return {total, 0, 0, {}}
  end
  first = math.max(place - tonumber(ARGV[4]), 0)
  count = place + tonumber(ARGV[4]) + 1 - first
end
local rows = redis.call('ZRANGE', key, first, first + count - 1, 'WITHSCORES')
local before = 0
if #rows > 0 then
  local scale = tonumber(ARGV[5])
  local sum = math.floor(-tonumber(rows[2]) / scale)
  before = redis.call('ZCOUNT', key, '-inf', string.format('%.17g', -(sum + 1) * scale))
end
return {total, first, before, rows}
