-- Stores a control record over the version before it. A write that was sent twice succeeds twice.
-- ARGV: version before, version, record.
local key = KEYS[1]
local stored = redis.call('HGET', key, 'version') or '0'
if stored == ARGV[1] then
  redis.call('HSET', key, 'version', ARGV[2], 'control', ARGV[3])
  return 1
end
return redis.call('HGET', key, 'control') == ARGV[3] and 1 or 0
