-- Library: what follows an attempt. Everything is fenced: (fence, worker, in_progress) must hold.

local LATE = 'E{"message":"the deadline passed before the job was done; give it a larger deadline_s","type":"timeout_error","code":"deadline_exceeded"}'
local DEAD = 'E{"message":"the worker died each time it ran this job; it is kept and can be replayed","type":"server_error","code":"dead_letter"}'

local function plus(h, field, by) return tonumber(h[field] or '0') + by end

local function credential(lane, id)
  local c = config(lane)
  for _, cred in ipairs(c and c.creds or {}) do
    if cred.id == id then return cred end
  end
end

-- The second call of a running job, as a job of its own lane and credential (hedge.lua); nil: none.
local function hedged(h)
  if not h.hedge then return nil end
  local lane, cred, at = string.match(h.hedge, '^(.*)\n(.*)\n(%d+)$')
  return { lane = lane, cred = cred, reserved = at, need = h.need }
end

local function free_place(lane, id)
  local l = lane_of(lane)
  put(l, 'run', math.max(0, l.run - 1))
  bump('run', lane .. '|' .. (id or ''), -1)
  unfill(l)
  if l.parked and l.reason ~= 'unserved' then  -- it may rest for another credential than this one
    local cred = credential(lane, id)
    if cred and (cred.conc or cred.grow) and resting(lane, cred) <= NOW then unpark(l) end
  end
end

-- Frees what a lease holds: the worker's set, the running counts, a full lane, the quarantine.
local function release(id, h)
  call('SREM', P .. 'held:' .. h.worker, id)
  free_place(h.lane, h.cred)
  local second = hedged(h)
  if second then
    free_place(second.lane, second.cred)
    call('HDEL', job_key(id), 'hedge')
  end
  if h.suspect then
    call('DEL', P .. 'quarantined')
    call('HDEL', job_key(id), 'suspect')
  end
end

-- What a window counts of what was used; nil: as many as were reserved.
local function counted(w, used)
  if w.d == 'tokens' then return used.i + (w.c == 'input' and 0 or used.o) end
  if w.d == 'input_tokens' then return math.max(0, used.i - (used.c or 0)) end
  if w.d == 'output_tokens' then return used.o end
  if w.d == 'audio_seconds' then return used.a end
end

-- Corrects every window from the estimate to what was used; nothing reached: all is given back.
local function settle(h, report)
  local cred = credential(h.lane, h.cred)
  if not cred or (report.reached and not report.used and report.uncertain) then return end
  local need, taken = need_of(h.need), tonumber(h.reserved)
  if cred.seen and not report.reached then Q.settle(cred.log, taken, 1, 0) end
  for _, w in ipairs(cred.win) do
    local reserved, actual = Q.amount(w, need), 0
    if w.d == 'microusd' then  -- a call that was refused cost nothing
      actual = report.cost or 0
    elseif report.reached then
      actual = reserved  -- so much where what it counted was not told
      if report.used then actual = counted(w, report.used) or reserved end
    end
    if actual ~= reserved then
      Q.settle(w, taken, reserved, actual)
      if actual < reserved then  -- room came back: a lane that rests for its quota looks again
        local l = lane_of(h.lane)
        if l.parked and l.reason == 'quota' and l.window == w.n then unpark(l) end
      end
    end
  end
end

-- Calls at once of a credential without known limits: one more for every two caps' worth of successes
-- while it is in use; halved, at most once a second, when the provider has had enough. Beyond what
-- was once too much it grows only after 100 successes, twice as many each time it was wrong.
local function adapt(h, r)
  local cred = credential(h.lane, h.cred)
  if not cred or not cred.grow then return end
  local key, kind = h.lane .. '|' .. h.cred, string.match(r.reason, '^[%a_]*')
  local c = cap_of(h.lane, cred)
  if r.health == 'ok' and counter('run', key) * 2 > c.cap then
    c.done = c.done + 1
    if c.done >= (c.cap < c.ceiling and 2 * c.cap or 100 * 2 ^ math.min(c.fails, 5)) then
      c.cap, c.done = c.cap + 1, 0
      c.ceiling = math.max(c.ceiling, c.cap)
    end
  elseif (kind == 'rate_limited' or kind == 'overloaded') and NOW - c.at >= 1000 then
    c.ceiling = math.max(1, c.cap - 1)
    c.cap, c.done, c.fails, c.at = math.max(1, math.floor(c.cap / 2)), 0, c.fails + 1, NOW
  else
    return
  end
  call('HSET', P .. 'cap', key, string.format('%.0f|%.0f|%.0f|%.0f|%.0f', c.cap, c.done, c.ceiling, c.fails, c.at))
end

-- admitted hash "<lane>|<cred>" -> ms: when the newest call that was answered was sent. What a provider
-- refused since then it refused to everybody, as far as anybody lives to tell (core/estimate.py).
local ADMITTED
fresh[#fresh + 1] = function() ADMITTED = {} end
local function admitted(h)
  local me = h.lane .. '|' .. h.cred
  ADMITTED[me] = math.max(ADMITTED[me] or 0, tonumber(h.reserved))
end
later[#later + 1] = function()
  for me, at in pairs(ADMITTED) do
    if at > tonumber(call('HGET', P .. 'admitted', me) or '0') then
      call('HSET', P .. 'admitted', me, string.format('%.0f', at))
    end
  end
end

local SCOPES = {
  lane = function(h) return 'l:' .. h.lane .. '|' .. h.cred end,
  credential = function(h) return 'c:' .. h.cred end,
  deployment = function(h) return 'd:' .. deployment_of(h.lane) end,
}

-- Where a limit was met that keys of one organisation share, the others on that lane rest with it.
local function cool_mates(h, till, reason)
  local mine, c = credential(h.lane, h.cred), config(h.lane)
  for _, cred in ipairs(mine and mine.log and c.creds or {}) do
    local scope = 'l:' .. h.lane .. '|' .. cred.id
    if cred.id ~= mine.id and cred.log and cred.log.k == mine.log.k and cooling(scope) < till then
      COOL[scope] = string.format('%.0f', till) .. '|' .. reason
      call('HSET', P .. 'cool', scope, COOL[scope])
    end
  end
end

-- A cooldown is max(old, new); when every credential of the lane rests, the lane is parked. A key
-- that was taken away while the call ran has none: nobody would ever end it.
local function cool(h, pause)
  if pause.scope ~= 'deployment' and not credential(h.lane, h.cred) then return end
  local scope = SCOPES[pause.scope](h)
  local till = pause.dead and 9e15 or NOW + pause.for_ms
  if cooling(scope) >= till then return end
  COOL[scope] = string.format('%.0f', till) .. '|' .. pause.reason
  call('HSET', P .. 'cool', scope, COOL[scope])
  if pause.scope == 'lane' and not pause.dead then cool_mates(h, till, pause.reason) end
  if pause.dead then announce('died', h.cred) end
  local earliest = awake(h.lane)
  if earliest > NOW and earliest < math.huge then
    park(lane_of(h.lane), earliest, 'cooldown', pause.reason, 3)
    announce('cooled_down', h.lane)
  end
end

-- Counts failures in a row; at the threshold the deployment rests, then one probe goes through.
local function breaker(h, health)
  local deployment = deployment_of(h.lane)
  if health == 'ok' then
    local fails = counter('brk', deployment)
    if fails > 0 then bump('brk', deployment, -fails) end
  elseif health == 'bad' then
    if counter('brk', deployment) + 1 >= settings('breaker_failures', '5') then
      cool(h, { scope = 'deployment', for_ms = settings('breaker_open_ms', '60000'), reason = 'breaker' })
    else
      bump('brk', deployment, 1)
    end
  end
end

-- When a lane could serve a job: 0 now, else the moment its rest ends.
local function serves_at(name)
  local l, rest = lane_of(name), awake(name)
  local parked = l.parked and l.parked > NOW and l.parked or 0
  return math.max(parked, rest < math.huge and rest > NOW and rest or 0)
end

-- The candidate that opens first, other than the lane that will not serve. Of those open now: another
-- model of its provider before other providers, but after them where the provider is `away`; else as
-- they were chosen. `before` is when it must open to be better than staying.
local function elsewhere(lane, sig, away, before)
  local best, at, rank = lane, before, math.huge
  for i, other in ipairs(signature(sig).c) do
    if other ~= lane and config(other) then
      local till = serves_at(other)
      local near = (provider_of(other) == provider_of(lane)) ~= (away or false)
      local place = (near and 0 or 1000) + i
      if till < at or till == at and place < rank then best, at, rank = other, till, place end
    end
  end
  return best
end

local function back_to_queue(id, h, lane, delay, fields)
  for _, v in ipairs({ 'status', 'queued', 'lane', lane }) do fields[#fields + 1] = v end
  call('HSET', job_key(id), unpack(fields))
  if h.share and not h.stepped and equals.yield(id, h, lane) then return end
  if delay > 0 then wait_until(id, lane, NOW + delay) else enter(id, lane, h) end
end

local function retry_or_requeue(id, h, r, fields)
  local count = r.verdict == 'retry' and 'attempts' or 'requeues'
  for _, v in ipairs({ count, plus(h, count, 1) }) do fields[#fields + 1] = v end
  if h.deadline and tonumber(h.deadline) <= NOW then
    return conclude(id, h, 'expired', fields, r.err and 'E' .. r.err or LATE, '{"reason":"deadline"}')
  end
  if r.sig then  -- its lane cannot serve it: no candidate of it any more
    bump('signed', h.sig, -1)
    bump('signed', r.sig, 1)
    h.sig = r.sig
    for _, v in ipairs({ 'sig', r.sig }) do fields[#fields + 1] = v end
  end
  local lane = r.lane
  if not lane and r.exclude then
    lane = elsewhere(h.lane, h.sig, r.away, math.huge)
  elseif not lane and r.cools and awake(h.lane) > NOW then  -- no other credential of it can serve either
    lane = elsewhere(h.lane, h.sig, false, awake(h.lane))
  end
  lane = lane or h.lane
  local delay = lane ~= h.lane and not r.lane and 0 or r.delay
  local told = r.resume or {}
  told.reason, told.verdict, told.delay_ms, told.lane = r.reason, r.verdict, delay, lane
  told.streamed = h.streamed and true or nil
  local _, loud = tries(h, 1)
  if h.streamed or loud then event(id, h.watch, 'job.requeued', cjson.encode(told)) end
  if lane ~= h.lane then
    event(id, h.watch, 'job.moved', cjson.encode({ from = h.lane, to = lane, reason = r.reason }))
  end
  back_to_queue(id, h, lane, delay, fields)
end

-- A step has been taken: its state is kept, and the job rests until so many of its children have ended.
-- It is `queued` in no lane; what its step brings with it is accepted after this, in the same call.
local function await(id, h, r, fields)
  if h.deadline and tonumber(h.deadline) <= NOW then
    r.outbox = nil  -- nobody would wait for them, nor end them
    return conclude(id, h, 'expired', fields, LATE, '{"reason":"deadline"}')
  end
  call('SET', P .. 'state:' .. id, ARGS[r.state])
  call('HDEL', job_key(id), 'lost', 'awaits')
  for _, v in ipairs({ 'status', 'queued', 'stepped', 1 }) do fields[#fields + 1] = v end
  if r.progress then
    for _, v in ipairs({ 'progress', r.progress }) do fields[#fields + 1] = v end
  end
  local rests = tonumber(h.kids_ended or '0') < r.awaits
  if rests then
    for _, v in ipairs({ 'awaits', r.awaits }) do fields[#fields + 1] = v end
  end
  call('HSET', job_key(id), unpack(fields))
  if not rests then enter(id, h.lane, h) end
end

-- Of two calls the one that answered is the job's; the other may have been billed: what it reserved
-- stays, unless it never left. Returns the other one.
local function settle_hedge(h, r)
  local other = hedged(h)
  if not other or not r.hedge then return nil end
  if r.hedge.won then
    other, h.lane, h.cred, h.reserved = { lane = h.lane, cred = h.cred, reserved = h.reserved, need = h.need },
      other.lane, other.cred, other.reserved
    h.hedge = other.lane .. '\n' .. other.cred .. '\n' .. other.reserved
  end
  settle(other, { reached = r.hedge.reached, uncertain = true })
  return other
end

-- Applies one report; false where it is stale and changed nothing.
local function finish(r, worker)
  local id, h = r.id, job_of(r.id)
  if h.status ~= 'in_progress' or h.worker ~= worker or tonumber(h.fence) ~= r.fence then
    if h.worker ~= worker or h.status ~= 'in_progress' then call('SREM', P .. 'held:' .. worker, id) end
    return false
  end
  local other = settle_hedge(h, r)
  settle(h, r)
  tally(h, r, need_of(h.need or '0,0,0,0').n)
  adapt(h, r)
  if r.health == 'ok' and h.cred ~= '' then admitted(h) end
  release(id, h)
  for _, pause in ipairs(r.cools or {}) do cool(h, pause) end
  for _, pause in ipairs(other and r.hedge.cools or {}) do cool(other, pause) end
  breaker(h, r.health)
  local f = {}
  local function note(name, value)
    f[#f + 1] = name
    f[#f + 1] = value
  end
  if other and r.hedge.won then
    note('lane', h.lane)
    note('cred', h.cred)
  end
  local n = tries(h, 1)
  if r.att then note('a' .. n, ARGS[r.att]) end
  if n > 64 then  -- the first 16 and the last 48 are kept; one lost with its worker left no record
    local gone = {}
    for at = math.max(17, n - 52), n - 48 do gone[#gone + 1] = 'a' .. at end
    call('HDEL', job_key(id), unpack(gone))
  end
  if r.uncertain then note('uncertain', plus(h, 'uncertain', 1)) end
  if r.cost and r.cost > 0 then note('cost', plus(h, 'cost', r.cost)) end
  if r.usage then note('usage', r.usage) end
  if h.like and r.m and r.m.l then note('worth', r.m.l) end
  h.worth, h.own = r.m and r.m.l, r.own
  if r.verdict == 'complete' then
    note('attempts', plus(h, 'attempts', 1))
    local result = ARGS[r.res]
    local told = { lane = h.lane, attempts = plus(h, 'attempts', 1), requeues = plus(h, 'requeues', 0),
      cost = plus(h, 'cost', r.cost or 0), queued_ms = tonumber(h.reserved) - tonumber(h.created),
      held_ms = NOW - tonumber(h.reserved) }
    conclude(id, h, 'completed', f, 'R' .. result, cjson.encode(told), #result <= 65536 and result or nil)
  elseif r.verdict == 'fail' then
    note('attempts', plus(h, 'attempts', 1))
    call('ZADD', P .. 'dead', NOW, id)
    conclude(id, h, 'failed', f, 'E' .. ARGS[r.err_arg], '{}', ARGS[r.err_arg])
  elseif r.verdict == 'cancel' then
    conclude(id, h, 'cancelled', f, nil, '{}')
  elseif r.verdict == 'wait' then
    await(id, h, r, f)
  else
    retry_or_requeue(id, h, r, f)
  end
  return true
end

-- Returns a lost job to the front of its lane (its score is its place). `blame` counts the loss.
-- Without blame the claim never reached its worker: nothing was sent.
local function take_back(id, h, blame)
  if not blame then settle(h, { reached = false }) end
  release(id, h)
  local f = { 'uncertain', plus(h, 'uncertain', blame and 1 or 0), 'requeues', plus(h, 'requeues', 1) }
  if h.deadline and tonumber(h.deadline) <= NOW then
    return conclude(id, h, 'expired', f, LATE, '{"reason":"deadline"}')
  end
  local lost = plus(h, 'lost', blame and 1 or 0)
  f[#f + 1] = 'lost'
  f[#f + 1] = lost
  event(id, h.watch, 'job.requeued', cjson.encode({ reason = blame and 'worker_lost' or 'reply_lost', lane = h.lane,
    streamed = h.streamed and true or nil }))
  if blame and h.suspect then
    call('ZADD', P .. 'dead', NOW, id)
    return conclude(id, h, 'failed', f, DEAD, '{"reason":"dead_letter"}', string.sub(DEAD, 2))
  end
  if h.suspect or blame and lost >= settings('suspect_after', '2') then
    f[#f + 1] = 'status'
    f[#f + 1] = 'queued'
    call('HSET', job_key(id), unpack(f))
    call('ZADD', P .. 'quarantine', h.score, id)
    if not config(h.lane) then unserved(h.lane) end
    return
  end
  back_to_queue(id, h, h.lane, 0, f)
end

-- Ends a job wherever it is; the worker that holds it is told, and its late finish is stale.
local function end_now(id, h, status, outcome, data)
  if h.status == 'in_progress' then
    tell(h.worker, 'drop ' .. id .. ' ' .. h.fence)
    release(id, h)
  else
    pull(id, h)
  end
  conclude(id, h, status, nil, outcome, data)
end

-- Nobody waits any more for what a parent's end leaves: its children are cancelled with it.
later[#later + 1] = function()
  for _, e in ipairs(ENDED) do
    if e.h.stepped then
      for _, id in ipairs(call('SMEMBERS', P .. 'brood:' .. e.id)) do
        local h = job_of(id)
        if h.status == 'queued' or h.status == 'in_progress' then
          end_now(id, h, 'cancelled', nil, '{"reason":"parent_ended"}')
        end
      end
      call('DEL', P .. 'brood:' .. e.id)
    end
  end
end
