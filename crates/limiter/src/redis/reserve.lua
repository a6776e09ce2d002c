-- Meter::reserve as one atomic step. Answers with whether it was granted, and the meter before.
-- ARGV: now, horizon, calls, burst, overdraw, expires_at, rates, cost of each, quotas,
-- {units, limit, resets_at} of each. The meter before ends with the latest moment.
-- Times in microseconds: they fit a double until 2255.
local key = KEYS[1]
local now, horizon, calls = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local burst, overdraw, expires = tonumber(ARGV[4]), ARGV[5] == '1', ARGV[6]
local function whole(number) return string.format('%.0f', number) end

local next_argument = 7
local function argument()
  local value = tonumber(ARGV[next_argument])
  next_argument = next_argument + 1
  return value
end

local before, writes, granted = {}, {}, true
local function stored(field)
  local value = redis.call('HGET', key, field)
  before[#before + 1] = value or ''
  return tonumber(value or '0')
end
local function write(field, value)
  writes[#writes + 1] = field
  writes[#writes + 1] = whole(value)
end

local rates, costs, due = argument(), {}, {}
local at, apart = now, 0
for i = 1, rates do
  costs[i] = argument()
  due[i] = stored('due' .. (i - 1))
  at = math.max(at, due[i] - burst)
  apart = math.max(apart, costs[i])
end
if at > now + horizon and not overdraw then granted = false end
for i = 1, rates do
  if rates == 1 then
    write('due0', math.max(due[1], now) + apart * calls)
  else
    write('due' .. (i - 1), at + apart * (calls - 1) + costs[i])
  end
end

for i = 0, argument() - 1 do
  local units, limit, resets = argument() * calls, argument(), argument()
  local spent, running = stored('spent' .. i), stored('resets' .. i)
  if running > now then units, resets = spent + units, running end
  if units > limit and not overdraw then granted = false end
  write('spent' .. i, units)
  write('resets' .. i, resets)
end

stored('latest')
if not overdraw then
  local pace = at
  if rates == 1 then pace = math.max(due[1], now) end
  write('latest', math.max(0, pace + apart * (calls - 1) - burst))
end

if granted and #writes > 0 then
  redis.call('HSET', key, unpack(writes))
  redis.call('EXPIREAT', key, expires)
end
return { granted and 1 or 0, before }
