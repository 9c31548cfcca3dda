-- KEYS: record. ARGV: id, state. A record that is gone, or that is another event's, stays as it is; and what is confirmed
-- stays so: another try of the same event may have been taken.
local record = redis.call('HMGET', KEYS[1], 'id', 'state')
if record[1] == ARGV[1] and record[2] ~= 'confirmed' then
    redis.call('HSET', KEYS[1], 'state', ARGV[2])
end
return 1
