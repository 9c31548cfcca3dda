-- KEYS: lease, four buckets of marks. ARGV: owner, epoch, then marks. Returns for each whether it is there; nothing for a
-- lost lease.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
    return false
end
local found = {}
for mark = 3, #ARGV do
    found[mark - 2] = 0
    for bucket = 2, 5 do
        if redis.call('HEXISTS', KEYS[bucket], ARGV[mark]) == 1 then
            found[mark - 2] = 1
            break
        end
    end
end
return found
