-- KEYS: lease, the bucket whose turn it is. ARGV: owner, epoch, then marks. A bucket is written for a minute and expires three
-- minutes after its last mark: before its turn comes again.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
    return 0
end
for mark = 3, #ARGV do
    redis.call('HSET', KEYS[2], ARGV[mark], '')
end
redis.call('PEXPIRE', KEYS[2], 180000)
return 1
