-- Renew the access token of a data address that this side made, and with it its refresh token: a provider's on pull, a consumer's
-- on push, which takes data from its preparation on.
--
-- KEYS: flow, mark of the assertion. ARGV: id of the presented token, id of the new one, milliseconds of the mark.
-- Returns: 'applied', 'replayed' (the assertion was seen before) or 'refused'.
--
-- The presented token is the one in force, which then becomes the previous one, or the previous one, if the answer to that was
-- lost: then the one that was lost is replaced. Ids are <family>.<member>; a suspension or a new start begins another family.
local function family(id)
  return id and string.match(id, '^([^.]+)%.') or nil
end

local f = redis.call('HMGET', KEYS[1], 'state', 'head', 'tok', 'ptok')
local token, previous = f[3], f[4]
if not redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  -- The very same call again, whose answer was lost on the way from here, is no replay.
  return token == ARGV[2] and redis.call('GET', KEYS[2]) == ARGV[2] and 'applied' or 'replayed'
end
local pull, push = string.sub(f[2] or '', 1, 14) == 'PROVIDER\nPULL\n', string.sub(f[2] or '', 1, 14) == 'CONSUMER\nPUSH\n'
local open = (f[1] == 'STARTED' and (pull or push)) or (f[1] == 'PREPARED' and push)
if not open or not token or not family(token) or family(token) ~= family(ARGV[1]) then
  return 'refused'
end
if ARGV[1] ~= token and ARGV[1] ~= previous then
  return 'refused'
end
redis.call('HSET', KEYS[1], 'tok', ARGV[2], 'ptok', ARGV[1])
return 'applied'
