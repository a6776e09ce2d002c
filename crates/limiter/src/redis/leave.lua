-- Takes a slot out. ARGV: field, and the moment before which its lease must be over, or nothing.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return 0 end
if ARGV[2] ~= '' then
  local lease = tonumber(string.match(entry, ':(%d+)$'))
  if lease >= tonumber(ARGV[2]) then return 0 end
end
return redis.call('HDEL', KEYS[1], ARGV[1])
