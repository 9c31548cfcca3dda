-- A version that was read from the directory: one that is the same lasts anew. KEYS: changes under way, registry copy. ARGV: version, life (ms) of a
-- change, life (ms) of a copy.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call('ZCOUNT', KEYS[1], now - tonumber(ARGV[2]), '+inf') > 0 then
    return 0
end
if tonumber(redis.call('GET', KEYS[2]) or '-1') <= tonumber(ARGV[1]) then
    redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
end
return 1
