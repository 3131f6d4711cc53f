-- uses: prelude lanes accepting
-- Puts an ended, unsuccessful job back in its queue. ARGS[1]: {id, tenant (nil: any), deadline_ms}
-- Returns 'replayed', 'live', 'completed', 'batch' (a line of one: it is told there), 'part' (of
-- another job, which alone knows what to do with it) or 'unknown'.
local key = job_key(A.id)
local v = call('HMGET', key, 'tenant', 'status', 'priority', 'sig', 'created', 'lane', 'by', 'deadline')
if not v[2] or (A.tenant and v[1] ~= A.tenant) or call('EXISTS', P .. 'doc:' .. A.id) == 0 then return 'unknown' end
if call('HEXISTS', key, 'parent') == 1 then return 'part' end
if v[2] == 'queued' or v[2] == 'in_progress' then return 'live' end
if v[2] == 'completed' then return 'completed' end
if call('HEXISTS', key, 'batch') == 1 then return 'batch' end
local records = { 'a1' }
for _, field in ipairs(call('HKEYS', key)) do
  if string.match(field, '^a%d+$') then records[#records + 1] = field end
end
local h = { tenant = v[1], status = v[2], priority = v[3], sig = v[4], created = v[5] }
local deadline = A.deadline_ms and NOW + A.deadline_ms
h.score = deadline or NOW + 31536000000
for _, name in ipairs({ 'job:', 'doc:', 'ev:', 'kids:', 'state:' }) do call('PERSIST', P .. name .. A.id) end
call('DEL', P .. 'res:' .. A.id)
call('HDEL', key, 'ended', 'started', 'start_by', 'lost', 'suspect', 'deadline', 'attempts', 'requeues', 'uncertain',
  'live', 'usage', 'streamed', 'due', 'by', 'awaits', 'stepped', 'progress', 'begun', 'lead')
call('HDEL', key, unpack(records))
call('HSET', key, 'status', 'queued', 'score', h.score)
if deadline then
  call('HSET', key, 'deadline', deadline)
  if v[7] and v[8] then
    h.by = string.format('%.0f', deadline + tonumber(v[7]) - tonumber(v[8]))
    call('HSET', key, 'by', h.by)
  end
  must_end_by(A.id, deadline, v[6])
end
call('ZREM', P .. 'dead', A.id)
BORN = BORN + 1
bump('signed', v[4], 1)
bump('done', v[2], -1)
call('ZREM', P .. 'ix:' .. h.tenant .. ':' .. v[2], A.id)
call('ZADD', P .. 'ix:' .. h.tenant .. ':live', h.created, A.id)
event(A.id, nil, 'job.queued', cjson.encode({ lane = v[6], replayed = true }))
enter(A.id, v[6], h)
flush()
return 'replayed'
