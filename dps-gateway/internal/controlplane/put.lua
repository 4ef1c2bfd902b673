-- Writes or removes the registration of a control plane, for a caller whose token is good for one request.
-- KEYS: registrations of the tenant, mark of the token. ARGV: request, time to live ('0' = no mark), id, document ('' removes), most.
if ARGV[2] ~= '0' and not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 'token reused'
end
if ARGV[4] == '' then
  return redis.call('HDEL', KEYS[1], ARGV[3]) == 1 and 'done' or 'unknown'
end
if redis.call('HEXISTS', KEYS[1], ARGV[3]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then
  return 'full'
end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
return 'done'
