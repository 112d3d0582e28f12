"""What Redis does in one step for `queue.redis`. Times are milliseconds of the server's own clock.

For each kind of job there are two sorted sets of sources scored by when they are due (`live` and `backfill`), a list
on which idle workers sleep (`wake`), and a key that lives as long as the kind has to rest after a run (`rest`).
"""

HINT = """
-- KEYS: live, backfill, wake, rest of the kind; the kinds. ARGV: source, delay, priority (0 live), kind, idle
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = now + math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[4]))
local key = KEYS[1]
if ARGV[3] == '0' then
  local backfill = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if backfill then
    redis.call('ZREM', KEYS[2], ARGV[1])
    due = math.min(due, tonumber(backfill))
  end
elseif not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  key = KEYS[2]
end
local changed = redis.call('ZADD', key, 'LT', 'CH', due, ARGV[1])
redis.call('SADD', KEYS[5], ARGV[4])
if changed == 1 and due < now + tonumber(ARGV[5]) and redis.call('LLEN', KEYS[3]) == 0 then
  redis.call('LPUSH', KEYS[3], 1)
end
"""
"""Place a hint, at the earlier time and the better priority if it waits already, and wake one worker for it."""

TAKE = """
-- KEYS: the workers; then live, backfill, wake, rest of each kind
-- ARGV: this worker, what it runs, for how long that is true; then of each kind JSON: kind, room, rest_ms, busy
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now + ARGV[3]))
local next_ms, taken = -1, {}
for number = 4, #ARGV do
  local ask = cjson.decode(ARGV[number])
  local first = 4 * (number - 4) + 2
  local busy, room, left = {}, ask.room, false
  for _, source in ipairs(ask.busy) do busy[source] = true end
  for _, key in ipairs({KEYS[first], KEYS[first + 1]}) do
    for _, source in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, room + #ask.busy + 1)) do
      if not busy[source] and room > 0 then
        redis.call('ZREM', key, source)
        room = room - 1
        table.insert(taken, ask.kind)
        table.insert(taken, source)
      elseif not busy[source] then
        left = true
      end
    end
    local later = redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if later[2] and room > 0 and (next_ms < 0 or later[2] - now < next_ms) then next_ms = later[2] - now end
  end
  if room < ask.room and ask.rest_ms > 0 then redis.call('SET', KEYS[first + 3], 1, 'PX', ask.rest_ms) end
  if left and redis.call('LLEN', KEYS[first + 2]) == 0 then redis.call('LPUSH', KEYS[first + 2], 1) end
end
return {next_ms, taken}
"""
"""Take what is due, live before backfill, as far as the worker has room, leaving out what it runs already.

Where more is due than it has room for, the next idle worker is woken. The answer is when the next hint is due (-1:
none), then kinds and sources in turn.
"""
