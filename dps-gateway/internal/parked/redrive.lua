-- Moves a parked entry back to the outbox.
-- KEYS: parked entry, index, outbox stream.
-- ARGV: id, lane of dead letters, lane that publishes, fields that only parked entries have ...
local entry = redis.call('HGETALL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if #entry == 0 then
  return 0
end
local drop = {}
for i = 4, #ARGV do
  drop[ARGV[i]] = true
end
local tries = 0
local out = {}
for i = 1, #entry, 2 do
  local name, value = entry[i], entry[i + 1]
  if name == 'try' then
    tries = tonumber(value) or 0
  elseif not drop[name] then
    if name == 'lane' and value == ARGV[2] then
      value = ARGV[3]
    end
    out[#out + 1] = name
    out[#out + 1] = value
  end
end
out[#out + 1] = 'try'
out[#out + 1] = tostring(tries + 1)
redis.call('XADD', KEYS[3], '*', unpack(out))
redis.call('DEL', KEYS[1])
return 1
