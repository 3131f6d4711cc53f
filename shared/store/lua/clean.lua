-- Drops index entries of ended jobs whose keys have expired, tenants that have none left, and
-- candidate lists that no job has had for as long as one that ended is kept.
-- KEYS[1] the prefix with its hash tag ("{hr}:"); read and written under it, all in one slot:
--   tenants set · ix:<tenant>:<live|final word> zset id -> created ms · job:<id> hash
--   set hash, its retention_ms · clean:cursor string, where the walk over tenants stands
--   leader:fence string, the newest fence · dead zset of failed jobs -> when
--   sigs hash of candidate lists; signed, sigs_idle: who has them (queue/lua/prelude.lua)
-- ARGV[1] fence · ARGV[2] most entries to drop
-- Returns {entries dropped, 1 if there may be more now, else 0}.
-- Promises: looks at no more than `most` entries of about 50 tenants a call; never drops a live
-- job's entry; repeating it changes nothing.
local P, most = KEYS[1], tonumber(ARGV[2])
if tonumber(ARGV[1]) ~= tonumber(redis.call('GET', P .. 'leader:fence') or '0') then
  return redis.error_reply('STALE a newer leader acts')
end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local retention = tonumber(redis.call('HGET', P .. 'set', 'retention_ms') or '259200000')
local oldest = string.format('%.0f', now - retention)
local failed = redis.call('ZRANGEBYSCORE', P .. 'dead', '-inf', oldest, 'LIMIT', 0, most)
for _, id in ipairs(failed) do
  if redis.call('EXISTS', P .. 'job:' .. id) == 0 then
    redis.call('ZREM', P .. 'dead', id)
  else  -- it is kept longer than jobs are by now: seen again when as much time has passed
    redis.call('ZADD', P .. 'dead', 'XX', now, id)
  end
end
local idle = redis.call('ZRANGEBYSCORE', P .. 'sigs_idle', '-inf', oldest, 'LIMIT', 0, most)
for _, sig in ipairs(idle) do
  redis.call('ZREM', P .. 'sigs_idle', sig)
  if redis.call('HEXISTS', P .. 'signed', sig) == 0 then redis.call('HDEL', P .. 'sigs', sig) end
end
local cursor = redis.call('GET', P .. 'clean:cursor') or '0'
local step = redis.call('SSCAN', P .. 'tenants', cursor, 'COUNT', 50)
local removed, full = 0, false
for _, tenant in ipairs(step[2]) do
  local left = redis.call('EXISTS', P .. 'ix:' .. tenant .. ':live')
  for _, shelf in ipairs({ 'completed', 'failed', 'cancelled', 'expired' }) do
    local key = P .. 'ix:' .. tenant .. ':' .. shelf
    local ids = redis.call('ZRANGEBYSCORE', key, '-inf', oldest, 'LIMIT', 0, most - removed)
    for _, id in ipairs(ids) do
      if redis.call('EXISTS', P .. 'job:' .. id) == 0 then
        redis.call('ZREM', key, id)
        removed = removed + 1
      end
    end
    left = left + redis.call('EXISTS', key)
    if removed >= most then full = true break end
  end
  if full then break end
  if left == 0 then redis.call('SREM', P .. 'tenants', tenant) end
end
if not full then
  cursor = step[1]
  redis.call('SET', P .. 'clean:cursor', cursor)
end
return { removed, (full or #failed >= most or #idle >= most or cursor ~= '0') and 1 or 0 }
