-- Puts the flows of a shard that are due into its outbox.
--
-- KEYS: due flows, outbox. ARGV: lane of the entries, how many at most. Returns how many were.
-- A member is <participant context>\n<data flow id>, scored by its time. Whoever calls it, and however often: each is put in once.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
  local pc, id = string.match(member, '^([^\n]*)\n(.*)$')
  redis.call('XADD', KEYS[2], '*', 'pc', pc, 'lane', ARGV[1], 'subj', id, 'at', now)
  redis.call('ZREM', KEYS[1], member)
end
return #due
