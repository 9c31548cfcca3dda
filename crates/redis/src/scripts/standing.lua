-- KEYS: lease, confirmation. Returns owner, epoch and counter of the lease ('' for what is not there), and the
-- confirmation.
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'counter')
return {held[1] and 1 or 0, held[1] or '', held[2] or '', redis.call('GET', KEYS[2]) or ''}
