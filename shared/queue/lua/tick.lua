-- uses: prelude lanes quota accepting claiming finishing
-- One turn of a worker: finishes a batch, promotes what is due, claims a batch. One atomic step.
-- ARGV[1]: {worker, turn, lease_ms, providers: [..], want, idle: bool,
--   fins: [{id fence verdict reached used{i o a} lane exclude delay cools reason health uncertain
--           cost usage data err res err_arg att(ARGV indexes)}],
--   sent: [{id fence at}] calls written to the socket later than claimed (ms),
--   outbox: [job + doc(ARGV index)], sigs}
-- Returns [now, more, next due ms (0 none), [stale ids], [row fields x 17 per claim]].
-- Promises: a stale fence changes nothing; outbox jobs exist exactly if the finishes do; cost grows
-- with the batch, not with the backlog. Repeating it after a lost reply is safe.
local worker, mine = A.worker, {}
for _, p in ipairs(A.providers) do mine[p] = true end
call('ZADD', P .. 'workers', NOW + A.lease_ms, worker)

for _, s in ipairs(A.sent or {}) do
  local h = held(s.id)
  if h.status == 'in_progress' and h.worker == worker and tonumber(h.fence) == s.fence then
    local cred = credential(h.lane, h.cred)
    local need, at = need_of(h.need), math.min(s.at, NOW)
    for _, w in ipairs(cred and cred.win or {}) do Q.restamp(w, tonumber(h.reserved), at, Q.amount(w, need)) end
    call('HSET', job_key(s.id), 'reserved', at)
  end
end

local stale = {}
for _, r in ipairs(A.fins or {}) do
  if not finish(r, worker) then stale[#stale + 1] = r.id end
end
learn_signatures(A.sigs)
for _, j in ipairs(A.outbox or {}) do accept(j, ARGV[j.doc]) end

for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'delay', '-inf', NOW, 'LIMIT', 0, 200)) do
  call('ZREM', P .. 'delay', id)
  local h = place(id)
  if h and h.status == 'queued' then
    call('HDEL', job_key(id), 'due')
    enter(id, h.lane, h)
  end
end
for _, lane in ipairs(call('ZRANGEBYSCORE', P .. 'park', '-inf', NOW, 'LIMIT', 0, 200)) do
  if lane_of(lane).reason == 'cooldown' then announce('recovered', lane) end
  unpark(lane_of(lane))
  wake(provider_of(lane))
end

for _, l in pairs(LANES) do show(l) end

local rows, want = {}, A.want
-- a turn sent before the worker reconciled arrives late: its claims would be nobody's
if tonumber(call('HGET', P .. 'turns', worker) or '0') > A.turn then want = 0 end

-- a job that lost two workers runs alone; only a lease lost there is its fault
local suspects = call('EXISTS', P .. 'quarantine') == 1
if want > 0 and suspects then
  local holder = call('GET', P .. 'quarantined')
  if not holder or holder == worker then
    call('SET', P .. 'quarantined', worker, 'PX', A.lease_ms * 4)
    want = 0
    for _, id in ipairs(A.idle and call('ZRANGE', P .. 'quarantine', 0, LOOK - 1) or {}) do
      local h = job_fields(id)
      local l = lane_of(h.lane)
      local c = mine[l.provider] and config(l.name)
      local cred = c and (c.free and { id = '', win = {} } or fit(l, c, need_of(h.need), 0))
      if cred then
        call('ZREM', P .. 'quarantine', id)
        call('HSET', job_key(id), 'suspect', 1)
        lease(rows, id, h, l.name, l, cred, worker)
        break
      end
    end
  end
end

local busy = true
while want > 0 and busy do
  busy = false
  for _, provider in ipairs(A.providers) do
    local ready = P .. 'ready:' .. provider
    local name = want > 0 and call('ZRANGE', ready, 0, 0)[1]
    if name then
      busy = true
      local l, streak = lane_of(name), math.max(1, math.floor(want / call('ZCARD', ready)))
      local took = 0
      l.ready = true
      while took < streak and queued(l) > 0 and open(l) and claim_from(rows, l, worker) do took = took + 1 end
      want = want - took
      if show(l) then call('ZADD', ready, 'XX', 'INCR', math.max(1, took), name) end
    end
  end
end
if want > 0 then
  local victims = call('ZRANGE', P .. 'park', 0, 31)
  for _, name in ipairs(call('SRANDMEMBER', P .. 'full', 8)) do victims[#victims + 1] = name end
  for _, name in ipairs(victims) do
    local victim = lane_of(name)
    while want > 0 and queued(victim) > 0 and steal_from(rows, victim, worker, mine) do want = want - 1 end
  end
end

local more = suspects and 1 or 0
for _, provider in ipairs(A.providers) do
  if call('EXISTS', P .. 'ready:' .. provider) == 1 then
    more = 1
    if want <= 0 then wake(provider) end
  end
end
hold(worker)
flush()
local due = 0
for _, key in ipairs({ 'delay', 'park' }) do
  local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2]
  if first and (due == 0 or tonumber(first) < due) then due = tonumber(first) end
end
return { string.format('%.0f', NOW), more, string.format('%.0f', due), stale, rows }
