-- Reads a flow for a caller whose signaling token is good for one request.
-- KEYS: flow, mark of the token. ARGV: request, time to live, fields ...
-- Returns the fields' values, or nothing if the token came with another request before.
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return {}
end
return redis.call('HMGET', KEYS[1], unpack(ARGV, 3))
