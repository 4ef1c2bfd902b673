package records

import "github.com/redis/go-redis/v9"

// putScript writes a record if its condition holds.
//
// KEYS: the record, the ids of the kind, the ends of the kind, the revision counter.
// ARGV: condition ("" none, "*" must be absent, "+" must be there, else the revision it must have), id, document,
// retention in ms (0 = kept), prefix of record keys, then field/value pairs.
// Answer: {1, new revision, value of "withdrawn" before} or {0, revision that is there or "", ""}.
//
// Each write also removes a few records of the kind whose time is over, so that no operation ever has to scan for them.
var putScript = redis.NewScript(`
local old = redis.call('HMGET', KEYS[1], 'rev', 'withdrawn')
local rev = old[1]
local cond = ARGV[1]
if cond ~= '' then
  if cond == '*' then
    if rev then return {0, rev, ''} end
  elseif cond == '+' then
    if not rev then return {0, '', ''} end
  elseif rev ~= cond then
    return {0, rev or '', ''}
  end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 8)
for _, id in ipairs(due) do
  if id ~= ARGV[2] then
    redis.call('DEL', ARGV[5] .. id)
    redis.call('ZREM', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
  end
end
local new = tostring(redis.call('INCR', KEYS[4]))
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'doc', ARGV[3], 'rev', new, unpack(ARGV, 6))
redis.call('ZADD', KEYS[2], 0, ARGV[2])
if ARGV[4] == '0' then
  redis.call('ZREM', KEYS[3], ARGV[2])
else
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[4]), ARGV[2])
end
return {1, new, old[2] or ''}
`)

// deleteScript removes a record. KEYS as putScript's first three; ARGV: id. Answer: whether there was one.
var deleteScript = redis.NewScript(`
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return redis.call('DEL', KEYS[1])
`)
