-- KEYS: lease, confirmation, doubt. Returns owner and epoch of the lease ('' for what is not there), the confirmation, and
-- whether an earlier holder may still count down.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
return {held[1] and 1 or 0, held[1] or '', held[2] or '', redis.call('GET', KEYS[2]) or '', redis.call('EXISTS', KEYS[3])}
