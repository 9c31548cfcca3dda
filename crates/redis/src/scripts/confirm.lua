-- KEYS: lease, news, confirmation. ARGV: owner, epoch, project, version, life (ms) of a confirmation.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
    return 0
end
if tonumber(redis.call('HGET', KEYS[2], ARGV[3]) or '-1') <= tonumber(ARGV[4]) then
    redis.call('HDEL', KEYS[2], ARGV[3])
end
if tonumber(redis.call('GET', KEYS[3]) or '-1') < tonumber(ARGV[4]) then
    redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5])
end
return 1
