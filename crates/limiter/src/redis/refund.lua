-- Meter::refund as one atomic step.
-- ARGV: rates, what is given back of each, quotas, {units, resets_at} of each.
local key = KEYS[1]
local function whole(number) return string.format('%.0f', number) end
local rates = tonumber(ARGV[1])
for i = 1, rates do
  local due = redis.call('HGET', key, 'due' .. (i - 1))
  if due then
    redis.call('HSET', key, 'due' .. (i - 1), whole(math.max(0, tonumber(due) - tonumber(ARGV[1 + i]))))
  end
end
for i = 0, tonumber(ARGV[2 + rates]) - 1 do
  local units, resets = ARGV[3 + rates + 2 * i], ARGV[4 + rates + 2 * i]
  if redis.call('HGET', key, 'resets' .. i) == resets then
    local spent = tonumber(redis.call('HGET', key, 'spent' .. i))
    redis.call('HSET', key, 'spent' .. i, whole(math.max(0, spent - tonumber(units))))
  end
end
return 1
