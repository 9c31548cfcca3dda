-- Looks a post up whose key has a record, and notes it as pending when it is to be published.
-- KEYS: record. ARGV: id, body digest, when the record expires and when it is, both by the caller's clock; life (ms) of the
-- record; age (ms) from which a pending one is given up. Returns what is to be done, and the id.
-- A record is: its state (p for pending, o for open, c for confirmed), the id, the body digest, when it expires, and how
-- long it had to live when it became pending, by which its age is known.
local record = redis.call('GET', KEYS[1])
local expires, life
if record then
    expires, life = string.match(string.sub(record, 70), '^(-?%d+) (%d+)$')
end
if not record or tonumber(expires) <= tonumber(ARGV[4]) then
    redis.call('SET', KEYS[1], 'p' .. ARGV[1] .. ARGV[2] .. ARGV[3] .. ' ' .. ARGV[5], 'PX', ARGV[5])
    return {'new', ARGV[1]}
end
local state, id = string.sub(record, 1, 1), string.sub(record, 2, 37)
if string.sub(record, 38, 69) ~= ARGV[2] then
    return {'mismatch', id}
end
if state == 'c' then
    return {'confirmed', id}
end
if state == 'p' and id == ARGV[1] then
    -- This post's own, whose answer was lost.
    return {'new', id}
end
local left = math.max(1, redis.call('PTTL', KEYS[1]))
if state == 'p' and math.abs(tonumber(life) - left) < tonumber(ARGV[6]) then
    return {'pending', id}
end
-- Its outcome is not known and nobody waits for it any more: this post publishes it again.
redis.call('SET', KEYS[1], 'p' .. string.sub(record, 2, 69) .. expires .. ' ' .. left, 'PX', left)
return {'again', id}
