-- Enters a slot or renews its lease, and answers with all fields after that.
-- ARGV: field, entry.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
