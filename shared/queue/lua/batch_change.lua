-- uses: prelude lanes quota accepting hooks
-- Changes a batch if it still stands as its caller saw it; its end is told of by the same step.
-- Written, all in one slot:
--   batch:<id> hash · bended:<id> list of marks to collect · bparts:<id> list "<o|e> <object>"
--   batches:live zset · batches:done zset id -> ended ms, until its parts are removed
--   told:<id> list of the jobs that tell of its end
-- leader:fence string, the newest fence, is read
-- ARGS[1]: id · from [status] · fence, tenant (absent: any) · expect {field: value; "" is none}
--   set {field: value} · stamp [field]: now · incr {field: number} · drop [field]
--   push [mark]: behind those to collect · trim: so many of the oldest are collected · parts [text]
--   keep_ms: it has ended, and is kept so long
-- Returns 1 where it was changed, else 0: it does not stand so, and nothing is changed.
-- Promises: all of it or nothing; a fence that is not the newest changes nothing (STALE). A batch
-- ends once, so its end is told of once, whoever asks again.
local key = P .. 'batch:' .. A.id
if A.fence and tonumber(A.fence) ~= tonumber(call('GET', P .. 'leader:fence') or '0') then
  return redis.error_reply('STALE a newer leader acts')
end
local stands = call('HMGET', key, 'status', 'tenant', 'weight')
local status, tenant, fits = stands[1], stands[2], false
for _, each in ipairs(A.from) do fits = fits or each == status end
if not fits or A.tenant and tenant ~= A.tenant then return 0 end
for field, value in pairs(A.expect or {}) do
  if (call('HGET', key, field) or '') ~= value then return 0 end
end
local now = string.format('%.0f', NOW)
for field, value in pairs(A.set or {}) do call('HSET', key, field, value) end
for _, field in ipairs(A.stamp or {}) do call('HSET', key, field, now) end
for field, by in pairs(A.incr or {}) do call('HINCRBY', key, field, by) end
for _, field in ipairs(A.drop or {}) do call('HDEL', key, field) end
for _, mark in ipairs(A.push or {}) do call('RPUSH', P .. 'bended:' .. A.id, mark) end
if A.trim then call('LTRIM', P .. 'bended:' .. A.id, A.trim, -1) end
for _, part in ipairs(A.parts or {}) do call('RPUSH', P .. 'bparts:' .. A.id, part) end
if A.keep_ms then
  call('ZREM', P .. 'batches:live', A.id)
  call('ZADD', P .. 'batches:done', now, A.id)
  call('PEXPIRE', key, A.keep_ms)
  call('DEL', P .. 'bended:' .. A.id)
  local kind = 'batch.' .. A.set.status
  note_told(A.id, tell_all(tenant, stands[3], nil, kind, '{"id":' .. cjson.encode(A.id) .. '}', A.id .. '\n' .. kind))
end
announce('batch', '')
flush()
return 1
