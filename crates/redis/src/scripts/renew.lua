-- KEYS: lease. ARGV: owner, epoch, lease time (ms). A lease that is gone stays gone.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
    return 0
end
redis.call('HINCRBY', KEYS[1], 'counter', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
