-- Changes a batch if it still stands as its caller saw it.
-- KEYS[1] the prefix with its hash tag ("{hr}:"); written under it, all in one slot:
--   batch:<id> hash · bended:<id> list of marks to collect · bparts:<id> list "<o|e> <object>"
--   batches:live zset · batches:done zset id -> ended ms, until its parts are removed
--   leader:fence string, the newest fence
-- ARGV[1] JSON: id · from [status] · fence, tenant (absent: any) · expect {field: value; "" is none}
--   set {field: value} · stamp [field]: now · incr {field: number} · drop [field]
--   push [mark]: behind those to collect · trim: so many of the oldest are collected · parts [text]
--   keep_ms: it has ended, and is kept so long
-- Returns 1 where it was changed, else 0: it does not stand so, and nothing is changed.
-- Promises: all of it or nothing; a fence that is not the newest changes nothing (STALE).
local P, a = KEYS[1], cjson.decode(ARGV[1])
local key = P .. 'batch:' .. a.id
if a.fence and tonumber(a.fence) ~= tonumber(redis.call('GET', P .. 'leader:fence') or '0') then
  return redis.error_reply('STALE a newer leader acts')
end
local status = redis.call('HGET', key, 'status')
local fits = false
for _, each in ipairs(a.from) do fits = fits or each == status end
if not fits or a.tenant and redis.call('HGET', key, 'tenant') ~= a.tenant then return 0 end
for field, value in pairs(a.expect or {}) do
  if (redis.call('HGET', key, field) or '') ~= value then return 0 end
end
local t = redis.call('TIME')
local now = string.format('%.0f', tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000))
for field, value in pairs(a.set or {}) do redis.call('HSET', key, field, value) end
for _, field in ipairs(a.stamp or {}) do redis.call('HSET', key, field, now) end
for field, by in pairs(a.incr or {}) do redis.call('HINCRBY', key, field, by) end
for _, field in ipairs(a.drop or {}) do redis.call('HDEL', key, field) end
for _, mark in ipairs(a.push or {}) do redis.call('RPUSH', P .. 'bended:' .. a.id, mark) end
if a.trim then redis.call('LTRIM', P .. 'bended:' .. a.id, a.trim, -1) end
for _, part in ipairs(a.parts or {}) do redis.call('RPUSH', P .. 'bparts:' .. a.id, part) end
if a.keep_ms then
  redis.call('ZREM', P .. 'batches:live', a.id)
  redis.call('ZADD', P .. 'batches:done', now, a.id)
  redis.call('PEXPIRE', key, a.keep_ms)
  redis.call('DEL', P .. 'bended:' .. a.id)
end
redis.call('PUBLISH', P .. 'lane-events', 'batch ')
return 1
