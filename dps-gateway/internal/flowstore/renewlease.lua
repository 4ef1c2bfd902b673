-- Take the right to renew the access token of one flow.
--
-- KEYS: the lease. ARGV: its new holder, milliseconds, the mark of an address whose renewal was refused.
-- Returns: 'held', 'busy' (somebody else renews) or 'refused' (the renewal of this very address was refused a moment ago).
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[3] then
  return 'refused'
end
if holder and holder ~= ARGV[1] and string.sub(holder, 1, 8) ~= 'refused:' then
  return 'busy'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'held'
