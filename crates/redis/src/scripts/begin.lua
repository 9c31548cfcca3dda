-- Looks a post up, and notes it as pending when it is to be published.
-- KEYS: record, changes under way, registry copy. ARGV: id, body digest, when the record expires ('' for a post without
-- a key) and when it is, both by the caller's clock; age (ms) from which a pending one is given up, life (ms) of a change.
-- Returns what is to be done, the id, and the registry version ('' when no copy can be trusted).
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local copy = ''
if redis.call('ZCOUNT', KEYS[2], now - tonumber(ARGV[6]), '+inf') == 0 then
    copy = redis.call('GET', KEYS[3]) or ''
end
if ARGV[3] == '' then
    return {'new', ARGV[1], copy}
end
local record = redis.call('HMGET', KEYS[1], 'state', 'id', 'body', 'at', 'expires')
if not record[1] or tonumber(record[5]) <= tonumber(ARGV[4]) then
    redis.call('HSET', KEYS[1], 'state', 'pending', 'id', ARGV[1], 'body', ARGV[2], 'at', string.format('%.0f', now),
        'expires', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], math.max(1, tonumber(ARGV[3]) - tonumber(ARGV[4])))
    return {'new', ARGV[1], copy}
end
if record[3] ~= ARGV[2] then
    return {'mismatch', record[2], copy}
end
if record[1] == 'confirmed' then
    return {'confirmed', record[2], copy}
end
if record[1] == 'pending' and math.abs(now - tonumber(record[4])) < tonumber(ARGV[5]) then
    return {'pending', record[2], copy}
end
-- Its outcome is not known and nobody waits for it any more: this post publishes it again.
redis.call('HSET', KEYS[1], 'state', 'pending', 'at', string.format('%.0f', now))
return {'again', record[2], copy}
