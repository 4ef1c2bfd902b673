-- One transition of a data flow: everything that a signal changes, in one step.
--
-- KEYS: flow, index of the tenant's live flows, outbox of the shard, mark of the signaling token, decision, dataset, due flows of the shard.
-- ARGV: see below and Redis.Apply; from the 24th on, pairs of fields to write, the first of which is the head if the flow is made,
-- or the token if it gets a new one; then pairs of effects (lane, kind). Effects of the lane "hook" are for flows that have one.
-- Returns: outcome, state, revision, answer to give again, reason.
--
-- A flow has few fields, since each costs time here and memory for as long as the flow is kept:
--   state
--   step                      <revision> <time> <signal> <fingerprint>\n<reason> of the last transition
--   head                      role, direction, profile, counterparty, agreement, dataset, hook; a line each; it never changes
--   more                      what reads need beside it
--   meta, dsver, tok, ptok, addr, addrat
--   cpl                       the control plane that made it, unless it is the one of the tenant's document
-- and its last 32 messages:
--   m:<signal>:<message id>   <revision that the message made> <fingerprint>
--   a:<revision>              <signal>:<message id>\n<answer>
local pc, id, signal, mid, print = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local to, makes = ARGV[7], ARGV[11] == '1'
local now, reason, drop, nfields = ARGV[13], ARGV[16], ARGV[20], tonumber(ARGV[21])
local call = redis.call
local mode = ARGV[22] -- 'check': only say whether it may be; 'amend': the answer is that to the message which made the flow, too
local caller = ARGV[10] -- the control plane: 'c' and its id, which is none for the one of the tenant's document; '' = none calls
local within = tonumber(ARGV[23]) -- ms that the flow, if it is made, waits for a function's report; 0 = it waits for none
local first = 24 -- of the pairs
local remembered = 32

-- A signaling token is good for one request, and for the same one again.
if ARGV[19] ~= '0' and not call('SET', KEYS[4], ARGV[18], 'NX', 'PX', ARGV[19]) and call('GET', KEYS[4]) ~= ARGV[18] then
  return { 'token reused', '', 0, '', '' }
end

local name = signal .. ':' .. mid
local f = call('HMGET', KEYS[1], 'state', 'step', 'head', 'm:' .. name, 'cpl')
local state, head, rev = f[1], f[3], 0

-- A flow is of the control plane that made it: to another it is none, but its id is taken.
if state and caller ~= '' and caller ~= 'c' .. (f[5] or '') then
  return { makes and 'exists' or 'unknown', '', 0, '', '' }
end

if state then
  local last, lastprint
  rev, last, lastprint = string.match(f[2], '^(%d+) %d+ (%S*) (%S*)')
  local again = nil
  if f[4] and mid ~= '' then
    local r, p = string.match(f[4], '^(%d+) (.*)$')
    again = p == print and r or nil
  end
  if not again and last == signal and lastprint == print then
    again = rev
  end
  again = again and call('HGET', KEYS[1], 'a:' .. again)
  if again then
    return { 'replayed', state, tonumber(rev), string.sub(again, string.find(again, '\n', 1, true) + 1), '' }
  end
  -- May it be?
  local no = nil
  local role, direction = string.match(head, '^([^\n]*)\n([^\n]*)')
  if makes then
    no = 'exists'
  elseif ARGV[8] ~= '' and ARGV[8] ~= role then
    no = 'role'
  elseif not string.find(ARGV[6], ',' .. state .. ',', 1, true) then
    no = 'state'
  elseif ARGV[9] ~= '' and ARGV[9] ~= direction then
    no = 'direction'
  end
  if no then
    return { no, state, tonumber(rev), '', '' }
  end
elseif not makes then
  return { 'unknown', '', 0, '', '' }
else
  head = ARGV[first + 1]
end

-- No byte without a decision.
local version = nil
if ARGV[12] ~= '0' then
  local ds = call('HMGET', KEYS[6], 'rev', 'withdrawn', 'sha256')
  if not ds[1] and ARGV[12] ~= 'unregistered' then
    return { 'no dataset', '', 0, '', '' }
  end
  if ds[2] == '1' then
    return { 'withdrawn', '', 0, '', '' }
  end
  local dec = call('HMGET', KEYS[5], 'verdict', 'dataset', 'counterparty', 'reason')
  if not dec[1] then
    return { 'undecided', '', 0, '', '' }
  end
  if dec[1] == 'review' then
    return { 'review', '', 0, '', dec[4] or '' }
  end
  if dec[1] ~= 'approved' then
    return { 'rejected', '', 0, '', dec[4] or '' }
  end
  local counterparty, dataset = string.match(head, '^[^\n]*\n[^\n]*\n[^\n]*\n([^\n]*)\n[^\n]*\n([^\n]*)')
  if dec[2] ~= dataset then
    return { 'rejected', '', 0, '', 'the decision on this agreement is about another dataset' }
  end
  if dec[3] ~= counterparty then
    return { 'rejected', '', 0, '', 'the decision on this agreement is about another counterparty' }
  end
  version = not state and ds[3]
end
if mode == 'check' then
  return { 'allowed', state or '', tonumber(rev), '', '' }
end

-- Write the flow.
rev = rev + 1
if to == '' then
  to = state
end
local set = {
  'HSET', KEYS[1], 'state', to, 'step', rev .. ' ' .. now .. ' ' .. signal .. ' ' .. print .. '\n' .. reason,
  'a:' .. rev, name .. '\n' .. ARGV[17], unpack(ARGV, first, first - 1 + nfields)
}
local n = 8 + nfields
if mid ~= '' then
  set[n + 1], set[n + 2] = 'm:' .. name, rev .. ' ' .. print
  n = n + 2
end
if version then
  set[n + 1], set[n + 2] = 'dsver', version
end
call(unpack(set))
if drop ~= '' then
  local gone = { 'HDEL', KEYS[1] }
  for field in string.gmatch(drop, '[^,]+') do
    gone[#gone + 1] = field
  end
  call(unpack(gone))
end
if mode == 'amend' then
  local a = call('HGET', KEYS[1], 'a:1')
  if a then
    call('HSET', KEYS[1], 'a:1', string.sub(a, 1, string.find(a, '\n', 1, true)) .. ARGV[17])
  end
end
if rev > remembered then
  local old = rev - remembered
  local a = call('HGET', KEYS[1], 'a:' .. old)
  if a then
    local m = 'm:' .. string.sub(a, 1, string.find(a, '\n', 1, true) - 1)
    local newest = string.match(call('HGET', KEYS[1], m) or '', '^%d+')
    call('HDEL', KEYS[1], 'a:' .. old, newest == tostring(old) and m or 'a:' .. old) -- a later message may bear the same id
  end
end

-- Index and retention.
if to == 'COMPLETED' or to == 'TERMINATED' then
  call('ZREM', KEYS[2], id)
  call('PEXPIRE', KEYS[1], ARGV[14])
elseif not state then
  call('ZADD', KEYS[2], 0, id)
end

-- How long it may wait, by the clock of Redis, which all replicas share; see outbox/due.lua.
if not state and within > 0 then
  local t = call('TIME')
  call('ZADD', KEYS[7], t[1] * 1000 + math.floor(t[2] / 1000) + within, pc .. '\n' .. id)
elseif (state == 'PREPARING' or state == 'STARTING') and to ~= state then
  call('ZREM', KEYS[7], pc .. '\n' .. id)
end

-- Tell of it: to the broker and the control plane by the outbox (see outbox.DecodeFlow), to open streams at once.
for i = first + nfields, #ARGV, 2 do
  if ARGV[i] ~= 'hook' or string.sub(head, -1) ~= '\n' then
    call('XADD', KEYS[3], '*', 'flow', ARGV[i] .. '\n' .. ARGV[i + 1] .. '\n' .. pc .. '\n' .. id .. '\n' .. now .. '\n' .. rev .. '\n'
      .. to .. '\n' .. head .. '\n' .. reason)
  end
end
if state and (state == 'STARTED' or drop ~= '' or ARGV[first] == 'tok') then
  call('PUBLISH', ARGV[15], 'flow\n' .. pc .. '\n' .. to .. '\n' .. id)
end
return { 'applied', to, rev, '', '' }
