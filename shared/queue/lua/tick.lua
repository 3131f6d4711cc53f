-- uses: prelude lanes quota accepting hooks claiming usage sharing finishing
-- One turn of a worker: finishes a batch, promotes what is due, claims a batch. One atomic step.
-- ARGS[1]: {worker, turn, lease_ms, providers: [..], want, idle: bool,
--   fins: [{id fence verdict reached used{i o a c} lane exclude away sig (the candidates left) delay cools reason health uncertain
--           own (its own fault) cost usage err resume{what job.requeued tells more}, res err_arg att state (ARGV indexes),
--           awaits progress (of a step), outbox: [job + doc (ARGV index)],
--           m: {free f t h a l c} how it went, for the books: see shared/queue/types.py Measured,
--           hedge: {won reached cools} of two calls, whether the second answered; of the other: did it leave}],
--   sent: [{id fence at}] calls written to the socket later than claimed (ms),
--   sigs: candidate lists that the finishes and outboxes name}
-- Returns [now, more, next due ms (0 none), [stale ids], [row fields x 17 per claim]].
-- Promises: a stale fence changes nothing; outbox jobs exist exactly if the finishes do; cost grows
-- with the batch, not with the backlog. Repeating it after a lost reply is safe.
local worker, mine = A.worker, {}
for _, p in ipairs(A.providers) do mine[p] = true end
call('ZADD', P .. 'workers', NOW + A.lease_ms, worker)

for _, s in ipairs(A.sent or {}) do
  local h = job_of(s.id)
  if h.status == 'in_progress' and h.worker == worker and tonumber(h.fence) == s.fence then
    local cred = credential(h.lane, h.cred)
    local need, at = need_of(h.need), math.min(s.at, NOW)
    for _, w in ipairs(cred and cred.win or {}) do Q.restamp(w, tonumber(h.reserved), at, Q.amount(w, need)) end
    if cred and cred.seen then Q.restamp(cred.log, tonumber(h.reserved), at, 1) end
    call('HSET', job_key(s.id), 'reserved', at)
  end
end

local stale = {}
learn_signatures(A.sigs)
for _, r in ipairs(A.fins or {}) do
  if finish(r, worker) then
    for _, j in ipairs(r.outbox or {}) do accept(j, ARGS[j.doc], true) end
  else
    stale[#stale + 1] = r.id
  end
end

-- The first moment of a sorted set, infinite where it is empty; what is due of it now.
local function first_due(key) return tonumber(call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')[2] or math.huge) end
local function all_due(key, first)
  if first > NOW then return {} end
  DUES_CHANGED = true
  return call('ZRANGEBYSCORE', P .. key, '-inf', NOW, 'LIMIT', 0, 200)
end

local delayed, parked = first_due('delay'), first_due('park')
for _, id in ipairs(all_due('delay', delayed)) do
  call('ZREM', P .. 'delay', id)
  local h = job_of(id)
  if h.status == 'queued' then
    call('HDEL', job_key(id), 'due')
    enter(id, h.lane, h)
  end
end
for _, lane in ipairs(all_due('park', parked)) do
  local l = lane_of(lane)
  if l.reason == 'cooldown' then announce('recovered', lane) end
  unpark(l)
  call('ZREM', P .. 'park', lane)
  if queued(l) == 0 then wake(l.provider) end  -- it may take what waits elsewhere
end

for _, l in pairs(LANES) do show(l) end

local rows, want, alone = {}, A.want, false
-- a turn sent before the worker reconciled arrives late: its claims would be nobody's
if tonumber(call('HGET', P .. 'turns', worker) or '0') > A.turn then want = 0 end

-- A job that lost two workers runs alone: one worker at a time ends what it does, takes it, and takes
-- nothing else meanwhile. True where this worker is that one.
local function quarantine()
  local holder, id = string.match(call('GET', P .. 'quarantined') or '', '^(%S+) ?(%S*)$')
  if holder and holder ~= worker then return false end
  if holder and id ~= '' then return true end
  local no_quota = { id = '', win = {} }

  -- Where a suspect can run now: on its lane, or on another candidate where that one rests.
  local function place_for(h)
    local need = need_of(h.need)
    for _, name in ipairs({ h.lane, unpack(signature(h.sig).c) }) do
      local l, c = lane_of(name), mine[provider_of(name)] and config(name)
      local cred, at = c and c.free and no_quota, nil
      if c and not cred then cred, at = fit(l, c, need, 0) end
      -- no window will ever hold it: the worker decides, as with any claim
      if not cred and at == NEVER and name == h.lane then cred = no_quota end
      if cred then return l, cred end
    end
  end

  local seen = {}  -- of each lane the first is looked at: it holds up nobody on another
  for _, suspect in ipairs(call('ZRANGE', P .. 'quarantine', 0, 127)) do
    local lane = call('HGET', job_key(suspect), 'lane')
    local h = lane and not seen[lane] and job_of(suspect)
    local l, cred
    if h then l, cred = place_for(h) end
    seen[lane or ''] = true
    if cred and not A.idle then
      call('SET', P .. 'quarantined', worker, 'PX', A.lease_ms * 4)
      return true
    elseif cred then
      call('SET', P .. 'quarantined', worker .. ' ' .. suspect, 'PX', A.lease_ms * 4)
      call('ZREM', P .. 'quarantine', suspect)
      call('HSET', job_key(suspect), 'suspect', 1)
      lease(rows, suspect, h, h.lane, l, cred, worker)
      return true
    end
  end
  if holder then call('DEL', P .. 'quarantined') end
  return false
end
if want > 0 and call('EXISTS', P .. 'quarantine', P .. 'quarantined') > 0 and quarantine() then want, alone = 0, true end

local busy, turns, most = true, 0, 4 * math.max(want, 0) + 64  -- entries that lead nowhere are turns too
while want > 0 and busy and turns < most do
  busy = false
  for _, provider in ipairs(A.providers) do
    local ready = P .. 'ready:' .. provider
    local name = want > 0 and call('ZRANGE', ready, 0, 0)[1]
    if name then
      busy = true
      local l, streak = lane_of(name), math.max(1, math.floor(want / call('ZCARD', ready)))
      turns = turns + 1
      local took = 0
      l.ready = true
      while took < streak and turns < most and queued(l) > 0 and open(l) do
        turns = turns + 1
        local on, claimed = claim_from(rows, l, worker)
        took = took + claimed
        if not on then break end
      end
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

local more = 0
for _, provider in ipairs(A.providers) do
  if call('EXISTS', P .. 'ready:' .. provider) == 1 then
    more = 1
    if want <= 0 and not alone then wake(provider) end
  end
end
hold(worker)
flush()
if DUES_CHANGED then delayed, parked = first_due('delay'), first_due('park') end
local due = math.min(delayed, parked)
return { string.format('%.0f', NOW), more, due == math.huge and '0' or string.format('%.0f', due), stale, rows }
