-- Takes the partition if nobody holds it, or if its holder stood still for as long as the caller watched it.
-- KEYS: lease, epoch, doubt. ARGV: owner, floor, lease time (ms), step, epoch and counter that stood still ('' for none).
-- A lease that was given back has the owner ''.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'counter')
if held[1] and held[1] ~= '' and held[1] ~= ARGV[1]
    and not (held[2] == ARGV[5] and held[3] == ARGV[6]) then
    return {0, held[2], held[3]}
end
-- A partition that was held before and has no record: the lease expired, or it was forgotten and its holder still counts
-- down. Until it has done so, nobody may say that what it knows is known to all.
if not held[1] and tonumber(ARGV[2]) > 0 then
    redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
end
local time = redis.call('TIME')
local last = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(held[2] or '0'))
local epoch = math.max(last + tonumber(ARGV[4]), tonumber(time[1]) * 1000000 + tonumber(time[2]),
    tonumber(ARGV[2]) + tonumber(ARGV[4]))
-- Lua prints large numbers with 14 digits.
local text = string.format('%.0f', epoch)
redis.call('SET', KEYS[2], text)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', text, 'counter', '0')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, text, '0'}
