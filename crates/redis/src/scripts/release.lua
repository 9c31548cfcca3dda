-- KEYS: lease. ARGV: owner, epoch. What stays says that nobody holds the partition, which a missing key does not.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], 'owner', '')
redis.call('PERSIST', KEYS[1])
return 1
