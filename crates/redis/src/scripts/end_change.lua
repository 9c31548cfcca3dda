-- KEYS: changes under way, registry copy, news, confirmation. ARGV: token ('' for none), project, version, life (ms) of a
-- change, life (ms) of a copy, channel, partition.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local begun = redis.call('ZREM', KEYS[1], ARGV[1]) == 1
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[4]))
local told = tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or '-1')
if tonumber(ARGV[3]) > told then
    redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
end
-- Of changes that overlap the older one may end last: what was told or confirmed meanwhile is newer.
local newest = math.max(tonumber(ARGV[3]), told, tonumber(redis.call('GET', KEYS[4]) or '-1'))
if redis.call('EXISTS', KEYS[1]) == 1 then
    -- Another change is under way: whoever comes reads the directory.
    redis.call('DEL', KEYS[2])
else
    -- Without a copy, and without the mark that this change began with, Redis may have forgotten newer ones.
    local copy = redis.call('GET', KEYS[2])
    if (copy or begun) and newest >= tonumber(copy or '-1') then
        redis.call('SET', KEYS[2], string.format('%.0f', newest), 'PX', ARGV[5])
    end
end
redis.call('PEXPIRE', KEYS[3], 3600000)
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1
