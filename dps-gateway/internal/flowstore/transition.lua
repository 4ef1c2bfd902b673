-- One transition of a data flow: everything that a signal changes, in one step.
--
-- KEYS: flow, index of the tenant's live flows, outbox of the shard, mark of the signaling token, decision, dataset.
-- ARGV: see the list below; after it, pairs of fields to write, then pairs of effects (lane, kind). Effects of the lane "hook" are
-- for flows that have one.
-- Returns: outcome, state, revision, answer, reason.
--
-- Beside its plain fields a flow remembers its last 32 messages:
--   m:<signal>:<message id>   revision that the message made
--   a:<revision>              <fingerprint> <signal>:<message id> \n <answer>
local pc, id, signal, mid, print = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local from, to, role, direction, revision = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local makes, decided, now, retention, channel = ARGV[11], ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local reason, answer, request, ttl, drop, nfields = ARGV[16], ARGV[17], ARGV[18], ARGV[19], ARGV[20], tonumber(ARGV[21])
local mode = ARGV[22] -- 'check': only say whether it may be; 'amend': the answer is that to the message which made the flow, too
local first = 23 -- of the pairs
local remembered = 32

-- A signaling token is good for one request, and for the same one again.
if ttl ~= '0' then
  local seen = redis.call('GET', KEYS[4])
  if not seen then
    redis.call('SET', KEYS[4], request, 'PX', ttl)
  elseif seen ~= request then
    return { 'token reused', '', 0, '', '' }
  end
end

local f = redis.call('HMGET', KEYS[1], 'state', 'rev', 'role', 'dir', 'prof', 'cp', 'agr', 'ds', 'm:' .. signal .. ':' .. mid, 'hook')
local state, rev = f[1], tonumber(f[2] or '0')
local name = signal .. ':' .. mid

-- The answer that the message of a revision was given, if that message was this signal with this content.
local function remembers(r, content)
  local a = redis.call('HGET', KEYS[1], 'a:' .. r)
  if not a then
    return nil
  end
  local eol = string.find(a, '\n', 1, true)
  local sp = string.find(a, ' ', 1, true)
  if string.sub(a, 1, sp - 1) ~= content or string.sub(a, sp + 1, sp + #signal + 1) ~= signal .. ':' then
    return nil
  end
  return string.sub(a, eol + 1)
end

if state then
  local again = f[9] and mid ~= '' and remembers(f[9], print) or nil
  again = again or remembers(tostring(rev), print)
  if again then
    return { 'replayed', state, rev, again, '' }
  end
end

-- May it be?
if not state then
  if makes == '0' then
    return { 'unknown', '', 0, '', '' }
  end
else
  if makes == '1' then
    return { 'exists', state, rev, '', '' }
  end
  if role ~= '' and f[3] ~= role then
    return { 'role', state, rev, '', '' }
  end
  if not string.find(from, ',' .. state .. ',', 1, true) then
    return { 'state', state, rev, '', '' }
  end
  if direction ~= '' and f[4] ~= direction then
    return { 'direction', state, rev, '', '' }
  end
  if revision ~= '0' and revision ~= tostring(rev) then
    return { 'changed', state, rev, '', '' }
  end
end

local fields = {}
for i = first, first - 1 + nfields do
  fields[#fields + 1] = ARGV[i]
end
local given = {}
for i = 1, #fields, 2 do
  given[fields[i]] = fields[i + 1]
end
local function of(i, field)
  return f[i] or given[field] or ''
end

-- No byte without a decision.
if decided ~= '0' then
  local ds = redis.call('HMGET', KEYS[6], 'rev', 'withdrawn', 'sha256')
  if not ds[1] and decided ~= 'unregistered' then
    return { 'no dataset', '', 0, '', '' }
  end
  if ds[2] == '1' then
    return { 'withdrawn', '', 0, '', '' }
  end
  local dec = redis.call('HMGET', KEYS[5], 'verdict', 'doc')
  if not dec[1] then
    return { 'undecided', '', 0, '', '' }
  end
  local ok, doc = pcall(cjson.decode, dec[2] or '')
  if not ok or type(doc) ~= 'table' then
    return { 'undecided', '', 0, '', '' }
  end
  local why = type(doc.reason) == 'string' and doc.reason or ''
  if dec[1] == 'review' then
    return { 'review', '', 0, '', why }
  end
  if dec[1] ~= 'approved' then
    return { 'rejected', '', 0, '', why }
  end
  if doc.datasetId ~= of(8, 'ds') then
    return { 'rejected', '', 0, '', 'the decision on this agreement is about another dataset' }
  end
  if doc.counterPartyId ~= of(6, 'cp') then
    return { 'rejected', '', 0, '', 'the decision on this agreement is about another counterparty' }
  end
  if not state then
    fields[#fields + 1] = 'dsver'
    fields[#fields + 1] = ds[3] or ''
  end
end
if mode == 'check' then
  return { 'allowed', state or '', rev, '', '' }
end

-- Write the flow.
rev = rev + 1
if to == '' then
  to = state
end
local set = { 'state', to, 'rev', tostring(rev), 'upd', now, 'reason', reason,
  'a:' .. rev, print .. ' ' .. name .. '\n' .. answer }
if mid ~= '' then
  set[#set + 1] = 'm:' .. name
  set[#set + 1] = tostring(rev)
end
if not state then
  set[#set + 1] = 'cre'
  set[#set + 1] = now
end
for i = 1, #fields do
  set[#set + 1] = fields[i]
end
redis.call('HSET', KEYS[1], unpack(set))
if drop ~= '' then
  for field in string.gmatch(drop, '[^,]+') do
    redis.call('HDEL', KEYS[1], field)
  end
end
if mode == 'amend' then
  local a = redis.call('HGET', KEYS[1], 'a:1')
  if a then
    redis.call('HSET', KEYS[1], 'a:1', string.sub(a, 1, string.find(a, '\n', 1, true)) .. answer)
  end
end
local old = rev - remembered
if old > 0 then
  local a = redis.call('HGET', KEYS[1], 'a:' .. old)
  if a then
    local sp, eol = string.find(a, ' ', 1, true), string.find(a, '\n', 1, true)
    redis.call('HDEL', KEYS[1], 'a:' .. old, 'm:' .. string.sub(a, sp + 1, eol - 1))
  end
end

-- Index and retention.
local terminal = to == 'COMPLETED' or to == 'TERMINATED'
if terminal then
  redis.call('ZREM', KEYS[2], id)
  redis.call('PEXPIRE', KEYS[1], retention)
elseif not state then
  redis.call('ZADD', KEYS[2], 0, id)
end

-- Tell of it: to the broker and the control plane by the outbox, to open streams at once.
local function tell(lane, kind, ...)
  redis.call('XADD', KEYS[3], '*', 'pc', pc, 'lane', lane, 'kind', kind, 'subj', id, 'at', now, 'rev', tostring(rev),
    'state', to, 'role', of(3, 'role'), 'dir', of(4, 'dir'), 'prof', of(5, 'prof'), 'cp', of(6, 'cp'),
    'agr', of(7, 'agr'), 'ds', of(8, 'ds'), 'reason', reason, ...)
end
local hook = of(10, 'hook')
for i = first + nfields, #ARGV, 2 do
  if ARGV[i] ~= 'hook' then
    tell(ARGV[i], ARGV[i + 1])
  elseif hook ~= '' then
    tell(ARGV[i], ARGV[i + 1], 'hook', hook)
  end
end
if channel ~= '' and (state == 'STARTED' or given.tok or drop ~= '') then
  redis.call('PUBLISH', channel, 'flow\n' .. pc .. '\n' .. to .. '\n' .. id)
end
return { 'applied', to, rev, answer, '' }
