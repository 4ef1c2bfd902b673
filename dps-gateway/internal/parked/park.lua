-- Moves an entry of the outbox, or a dead letter, into the parked work.
-- KEYS: parked entry, index, outbox stream. ARGV: id, id in the stream ("" = not from there), field, value, ...
if ARGV[2] ~= '' then
  if redis.call('XDEL', KEYS[3], ARGV[2]) == 0 and redis.call('EXISTS', KEYS[1]) == 0 then
    return 0 -- acknowledged or moved by another holder of the lease, and re-driven since
  end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 1
