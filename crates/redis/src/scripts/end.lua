-- KEYS: record. ARGV: id, state. A record that is gone, or that is another event's, stays as it is.
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then
    redis.call('HSET', KEYS[1], 'state', ARGV[2])
end
return 1
