-- Writes a new batch, once for an idempotency key.
-- KEYS[1] the prefix with its hash tag ("{hr}:"); written under it, all in one slot:
--   batch:<id> hash (store/batches.py) · bx:<tenant> zset id -> created ms · batches:live zset id ->
--   created ms · bidem:<tenant>:<key digest> string "<id>|<body digest>"
-- ARGV[1] id · ARGV[2] tenant · ARGV[3] most live batches · ARGV[4] idempotency key digest ("": none)
-- · ARGV[5] body digest · ARGV[6] how long the key is known (ms) · ARGV[7] the window (ms)
-- · ARGV[8..] fields of the hash
-- Returns {how ('new' 'repeated' 'conflict' 'full'), id}.
-- Promises: all of it or nothing; repeating it with the key changes nothing.
local P, id, tenant = KEYS[1], ARGV[1], ARGV[2]
local idem = ARGV[4] ~= '' and P .. 'bidem:' .. tenant .. ':' .. ARGV[4]
local seen = idem and redis.call('GET', idem)
if seen then
  local first, body = string.match(seen, '^(.-)|(.*)$')
  if redis.call('EXISTS', P .. 'batch:' .. first) == 1 then
    return { body == ARGV[5] and 'repeated' or 'conflict', first }
  end
end
if redis.call('ZCARD', P .. 'batches:live') >= tonumber(ARGV[3]) then return { 'full', id } end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local fields = { 'tenant', tenant, 'status', 'validating', 'created', string.format('%.0f', now),
  'expires', string.format('%.0f', now + tonumber(ARGV[7])) }
for i = 8, #ARGV do fields[#fields + 1] = ARGV[i] end
redis.call('HSET', P .. 'batch:' .. id, unpack(fields))
redis.call('ZADD', P .. 'bx:' .. tenant, now, id)
redis.call('ZADD', P .. 'batches:live', now, id)
if idem then redis.call('SET', idem, id .. '|' .. ARGV[5], 'PX', ARGV[6]) end
redis.call('PUBLISH', P .. 'lane-events', 'batch ')
return { 'new', id }
