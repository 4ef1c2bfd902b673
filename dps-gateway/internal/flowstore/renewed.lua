-- Put the renewed data address of a consumer's flow in the place of the one that was renewed.
--
-- KEYS: flow. ARGV: the old address, the new one, now in milliseconds.
-- Returns: 1, or 0 if the flow is not started any more or its address is another one by now.
local f = redis.call('HMGET', KEYS[1], 'state', 'addr')
if f[1] ~= 'STARTED' or f[2] ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'addr', ARGV[2], 'addrat', ARGV[3])
return 1
