-- Puts a meter back if it still is what it was made.
-- ARGV: {field, value now, value before or nothing} of each.
local key = KEYS[1]
for i = 1, #ARGV, 3 do
  if redis.call('HGET', key, ARGV[i]) ~= ARGV[i + 1] then return 0 end
end
for i = 1, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    redis.call('HDEL', key, ARGV[i])
  else
    redis.call('HSET', key, ARGV[i], ARGV[i + 2])
  end
end
return 1
