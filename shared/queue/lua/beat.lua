-- uses: prelude lanes quota accepting hooks claiming usage sharing finishing
-- A worker's heartbeat and the reaper: renews the lease, takes back what dead workers held.
-- ARGS[1]: {worker (or nil: the scheduler), lease_ms, providers, known: [ids] or nil, turn}. `known` is
-- what the worker runs or is finishing: what else is leased to it goes back (its claim was lost).
-- Returns [now, jobs taken back, work waits for this worker (0|1)].
-- Promises: a reconcile older than the last one does nothing; after a gap in which nobody could reach the store, nobody is dead for one full lease;
-- at most 500 jobs of 16 workers a call.
local alive = call('GET', P .. 'beat')
local last, grace = string.match(alive or '', '^(%d+)|(%d+)$')
last, grace = tonumber(last or NOW), tonumber(grace or '0')
-- a worker may have renewed up to a beat before the gap began
if NOW - last > A.lease_ms * 0.7 then grace = NOW + A.lease_ms end
call('SET', P .. 'beat', string.format('%.0f|%.0f', NOW, grace))
if A.worker then
  call('ZADD', P .. 'workers', NOW + A.lease_ms, A.worker)
  if A.providers then call('HSET', P .. 'serves', A.worker, table.concat(A.providers, ' ')) end
  local holder = string.match(call('GET', P .. 'quarantined') or '', '^%S+')
  if holder == A.worker then call('PEXPIRE', P .. 'quarantined', A.lease_ms * 4) end
end

local taken = 0
local function back(id, worker, blame)
  local h = job_of(id)
  call('SREM', P .. 'held:' .. worker, id)
  if h.status == 'in_progress' and h.worker == worker then
    take_back(id, h, blame)
    taken = taken + 1
  end
end
if NOW >= grace then
  for _, dead in ipairs(call('ZRANGEBYSCORE', P .. 'workers', '-inf', NOW, 'LIMIT', 0, 16)) do
    for _, id in ipairs(call('SRANDMEMBER', P .. 'held:' .. dead, 500)) do back(id, dead, true) end
    if call('EXISTS', P .. 'held:' .. dead) == 0 then
      call('HDEL', P .. 'turns', dead)
      call('HDEL', P .. 'serves', dead)
      call('ZREM', P .. 'workers', dead)
      call('DEL', P .. 'ctl:' .. dead)
    else  -- the rest goes next time: no pulse of its process saves it
      call('ZADD', P .. 'workers', 0, dead)
    end
  end
end
if A.worker and A.known and tonumber(call('HGET', P .. 'turns', A.worker) or '0') <= A.turn then
  call('HSET', P .. 'turns', A.worker, A.turn)
  local known = {}
  for _, id in ipairs(A.known) do known[id] = true end
  for _, id in ipairs(call('SMEMBERS', P .. 'held:' .. A.worker)) do
    if not known[id] then back(id, A.worker, false) end
  end
end
flush()
local work = call('EXISTS', P .. 'quarantine')
for _, key in ipairs({ 'delay', 'park' }) do  -- whoever had a timer for it is gone
  local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2]
  if first and tonumber(first) <= NOW then work = 1 end
end
for _, provider in ipairs(A.providers or {}) do
  if call('EXISTS', P .. 'ready:' .. provider) == 1 then work = 1 end
end
return { string.format('%.0f', NOW), taken, work }
