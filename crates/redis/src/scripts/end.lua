-- The publish failed, as far as is known. KEYS: record. ARGV: id. A record that is gone, or that is another event's, stays as
-- it is; and what is confirmed stays so: another try of the same event may have been taken.
local record = redis.call('GET', KEYS[1])
if record and string.sub(record, 1, 37) == 'p' .. ARGV[1] then
    redis.call('SET', KEYS[1], 'o' .. string.sub(record, 2), 'KEEPTTL')
end
return 1
