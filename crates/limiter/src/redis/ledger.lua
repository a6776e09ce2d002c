-- Stores a ledger over the version before it.
-- ARGV: version before, version, ledger, expires_at.
local key = KEYS[1]
local stored = redis.call('HGET', key, 'version') or '0'
if stored ~= ARGV[1] then return 0 end
redis.call('HSET', key, 'version', ARGV[2], 'ledger', ARGV[3])
redis.call('EXPIREAT', key, ARGV[4])
return 1
