-- Library: which job is next, which credential it fits, and the lease.
--
-- run hash "<lane>|<cred>" -> calls in flight; cool hash scope -> "until|reason", scopes
--   l:<lane>|<cred>  c:<cred>  d:<deployment>; brk hash deployment -> failures in a row
-- held:<worker> set of job ids; workers zset worker -> lease ends

local NEVER, LOOK = -1, 16
local COOL, CAPS, TAKEN
fresh[#fresh + 1] = function() COOL, CAPS, TAKEN = nil, {}, {} end

local function cooling(scope)
  COOL = COOL or pairs_of(call('HGETALL', P .. 'cool'))
  local raw = COOL[scope]
  if not raw then return 0 end
  local till, reason = string.match(raw, '^(%d+)|(.*)$')
  till = tonumber(till)
  if till <= NOW then
    COOL[scope] = nil
    call('HDEL', P .. 'cool', scope)
    return 0
  end
  return till, reason
end

local function resting(lane, cred)
  if COOL and not next(COOL) then return 0 end
  local whole = cooling('d:' .. deployment_of(lane))
  local mine = cooling('c:' .. cred.id)
  local here = cooling('l:' .. lane .. '|' .. cred.id)
  return math.max(whole, mine, here)
end

-- When the first credential of a lane is awake: 0 now, math.huge where it has none.
local function awake(lane)
  local c, first = config(lane), math.huge
  for _, cred in ipairs(c and c.creds or {}) do first = math.min(first, resting(lane, cred)) end
  return first
end

local function need_of(text)
  local i, o, m, a, n = string.match(text, '^(%d+),(%d+),(%d+),(%d+),?(%d*)')
  return { i = tonumber(i), o = tonumber(o), m = tonumber(m), a = tonumber(a), n = tonumber(n) or 1 }
end

-- The share of every window that bulk leaves free while interactive work is about.
local function held_back(l, class)
  if class ~= 2 or NOW - l.last > settings('interactive_recent_ms', '600000') then return 0 end
  return settings('bulk_reserve', '0.1')
end

-- cap hash "<lane>|<cred>" -> "cap|done|ceiling|fails|halved ms": calls at once of a credential whose
-- limits nobody told (`grow`); finishing.lua adapts it. done: successes since the last change.
-- While it was never refused, callers who wait may open it up to WIDE.
local WIDE = 64
local function cap_of(lane, cred)
  local key = lane .. '|' .. cred.id
  if not CAPS[key] then
    local raw = call('HGET', P .. 'cap', key) or ''
    local cap, done, ceiling, fails, at = string.match(raw, '^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)$')
    CAPS[key] = { cap = tonumber(cap or 8), done = tonumber(done or 0), ceiling = tonumber(ceiling or 1e6),
      fails = tonumber(fails or 0), at = tonumber(at or 0) }
  end
  return CAPS[key]
end

local function crowded(lane, cred, class)
  local most = cred.conc
  if cred.grow then
    local c = cap_of(lane, cred)
    most = class == 0 and c.fails == 0 and math.max(c.cap, WIDE) or c.cap
  end
  return most and counter('run', lane .. '|' .. cred.id) >= most
end

-- The moment a credential can take a need, and the window that decides; math.huge: a finish decides.
local function opens(lane, cred, need, class, share)
  local rest = resting(lane, cred)
  if rest > NOW then return rest, 'cooldown' end
  if crowded(lane, cred, class) then return math.huge, 'concurrency' end
  local at, why = NOW, nil
  for _, w in ipairs(cred.win) do
    local amount = Q.amount(w, need)
    local e = Q.earliest(w, amount, math.min(math.floor(w.l * share), math.max(w.l - amount, 0)))
    if e == NEVER then return NEVER, w.n end
    if e > at then at, why = e, w end
  end
  return at, why
end

-- Returns the credential that fits now; else nil, the earliest moment, the window, its credential.
local function fit(l, c, need, class)
  -- a half-open breaker lets one probe through
  if l.run > 0 and counter('brk', deployment_of(l.name)) >= settings('breaker_failures', '5') - 1 then
    return nil, math.huge, 'concurrency', nil
  end
  local at, why, who = math.huge, 'concurrency', nil
  local never, share, before = #c.creds > 0, held_back(l, class), 0
  for _, size in ipairs(c.tiers or { #c.creds }) do  -- turns are taken by keys of one priority
    for i = 0, size - 1 do
      local cred = c.creds[before + (l.claims + i) % size + 1]
      local t, w = opens(l.name, cred, need, class, share)
      if t == NOW then return cred end
      if t ~= NEVER then
        never = false
        if t < at then at, why, who = t, w, cred end
      end
    end
    before = before + size
  end
  if never then return nil, NEVER, 'too_large', nil end
  return nil, at, why, who
end

-- Nothing fits: full until a finish, or parked until the moment something will.
local function rest(l, at, why, class)
  if at == math.huge then return fill(l, class) end
  if why == 'cooldown' then park(l, at, 'cooldown', '', class)
  else park(l, at, 'quota', type(why) == 'table' and why.n or why, class) end
  announce(type(why) == 'table' and why.d == 'microusd' and 'capped' or 'throttled', l.name)
end

-- Hands a queued job to a worker: fence up, quota reserved, counted, told. `from` is its own lane.
local function lease(out, id, h, from, l, cred, worker)
  local fence = tonumber(h.fence) + 1
  local f = { 'status', 'in_progress', 'worker', worker, 'cred', cred.id, 'lane', l.name, 'reserved', NOW, 'fence', fence }
  if not h.started then
    f[#f + 1] = 'started'
    f[#f + 1] = NOW
  end
  call('HSET', job_key(id), unpack(f))
  TAKEN[#TAKEN + 1] = id
  if h.start_by and not h.started then
    if h.deadline then call('ZADD', P .. 'limits', h.deadline, id) else call('ZREM', P .. 'limits', id) end
  end
  put(l, 'run', l.run + 1)
  bump('run', l.name .. '|' .. cred.id, 1)
  if #cred.win > 0 then
    local need = need_of(h.need)
    for _, w in ipairs(cred.win) do Q.take(w, Q.amount(w, need)) end
  end
  if cred.seen then Q.take(cred.log, 1) end
  if from ~= l.name then
    event(id, h.watch, 'job.moved', cjson.encode({ from = from, to = l.name, reason = 'room' }))
  end
  local _, loud = tries(h, 0)
  if not h.stepped and loud then
    local attempt = tonumber(h.attempts or '0') + 1
    event(id, h.watch, 'job.started', '{"lane":' .. cjson.encode(l.name) .. ',"attempt":' .. attempt .. '}')
  end
  local row = { id, fence, l.name, cred.id, h.tenant, h.kind, h.priority, h.need, h.created, h.deadline or '',
    h.attempts or '0', h.requeues or '0', h.lost or '0', h.uncertain or '0', h.streamed or '0',
    signature(h.sig).raw, call('GET', P .. 'doc:' .. id) or '' }
  for _, v in ipairs(row) do out[#out + 1] = v end
end

local function hold(worker)
  for at = 1, #TAKEN, 500 do
    call('SADD', P .. 'held:' .. worker, unpack(TAKEN, at, math.min(at + 499, #TAKEN)))
  end
end

-- Classes in the order this claim looks at them: strict, but for the lower classes' share.
local STRICT, NORMAL_TURN, BULK_TURN = { 0, 1, 2 }, { 1, 0, 2 }, { 2, 0, 1 }
local function class_order(claims)
  return claims % 20 == 19 and BULK_TURN or claims % 20 == 9 and NORMAL_TURN or STRICT
end

-- One more than `most` is read of a queue, to see whether a job is its tenant's last there.
local function jobs_of_class(l, class, most, found)
  local ring = P .. 'ring:' .. l.name .. ':' .. class
  local tenants = call('ZRANGE', ring, 0, most > 1 and 3 or 0, 'WITHSCORES')
  if #tenants == 0 then put(l, 'n' .. class, 0) end
  for i = 1, #tenants, 2 do
    local room = most - #found
    local ids = call('ZRANGE', P .. 'q:' .. l.name .. ':' .. class .. ':' .. tenants[i], 0, room)
    if #ids == 0 then call('ZREM', ring, tenants[i]) end
    for k = 1, math.min(#ids, room) do
      found[#found + 1] = { id = ids[k], class = class, tenant = tenants[i], v = tonumber(tenants[i + 1]), last = #ids == 1 }
    end
    if #found >= most then return end
  end
end

-- The next jobs of a lane, at most `most`: {id, class, tenant, virtual time, last of its tenant}.
local function next_jobs(l, most, order)
  local found = {}
  for _, class in ipairs(order) do
    if #found < most and l['n' .. class] > 0 then jobs_of_class(l, class, most, found) end
  end
  return found
end

local function claim_job(out, from, pick, h, l, cred, worker)
  leave(pick.id, from.name, h, pick.last)
  local v = 'v' .. pick.class
  local tag = string.format('%.6f', pick.v + 1 / tonumber(h.weight or '1'))
  -- with its last job a tenant passes its tag on to the ring: coming back at once gains nothing
  local reached = pick.last and tonumber(tag) or pick.v
  if reached > from[v] then put(from, v, reached) end
  if not pick.last then call('ZADD', P .. 'ring:' .. from.name .. ':' .. pick.class, 'XX', tag, pick.tenant) end
  put(from, 'claims', from.claims + 1)
  if l ~= from then put(l, 'claims', l.claims + 1) end
  lease(out, pick.id, h, from.name, l, cred, worker)
end

-- EASY backfill: a later job may go first where the head's start is not delayed by it.
local function backfill(out, l, c, first, blocked, worker)
  local head, share = need_of(blocked.h.need), held_back(l, blocked.class)
  for _, pick in ipairs(next_jobs(l, LOOK + 1, STRICT)) do
    local h = job_of(pick.id)
    local need = need_of(h.need or '0,0,0,0')
    local cred = h.need and pick.id ~= first.id and fit(l, c, need, pick.class)
    if cred and cred.id == blocked.who.id then
      for _, w in ipairs(cred.win) do
        if Q.amount(w, need) > Q.slack(w, blocked.at, Q.amount(w, head), math.floor(w.l * share)) then
          cred = nil
          break
        end
      end
    end
    if cred then
      claim_job(out, l, pick, h, l, cred, worker)
      return true
    end
  end
  return false
end

-- Claims the head of a lane if it fits now; else false and what it waits for.
local function claim_head(out, l, c, first, worker)
  local h = job_of(first.id)
  if not h.tenant then  -- no such job: an entry that leads nowhere must not stop the lane
    call('ZREM', P .. 'q:' .. l.name .. ':' .. first.class .. ':' .. first.tenant, first.id)
    put(l, 'n' .. first.class, l['n' .. first.class] - 1)
    return true, 0
  end
  local cred, at, why, who = { id = '', win = {} }, NOW, nil, nil
  if not c.free then  -- work of our own has no quota
    cred, at, why, who = fit(l, c, need_of(h.need), first.class)
    -- no window of this lane will ever hold it: the worker decides
    if not cred and at == NEVER then cred = { id = '', win = {} } end
  end
  if not cred then return false, { h = h, at = at, why = why, who = who, class = first.class } end
  claim_job(out, l, first, h, l, cred, worker)
  return true, 1
end

-- Claims one job of an open lane, or lets the lane rest until one fits. Returns whether to go on
-- with this lane, and how many were claimed.
local function claim_from(out, l, worker)
  local c = config(l.name)
  if not c then
    park(l, NOW + 60000, 'unserved', '', 3)
    return false, 0
  end
  local order = class_order(l.claims)
  local first = next_jobs(l, 1, order)[1]
  if not first then return false, 0 end
  local done, blocked = claim_head(out, l, c, first, worker)
  if done then return true, blocked end
  if order ~= STRICT then  -- a lower class cannot use its turn: it holds nobody up
    local urgent = next_jobs(l, 1, STRICT)[1]
    if urgent and urgent.class < first.class then
      first = urgent
      done, blocked = claim_head(out, l, c, first, worker)
      if done then return true, blocked end
    end
  end
  local by_tokens = type(blocked.why) == 'table' and blocked.why.d ~= 'requests'
  if by_tokens and queued(l) > 1 and backfill(out, l, c, first, blocked, worker) then return true, 1 end
  rest(l, blocked.at, blocked.why, blocked.class)
  return false, 0
end

-- An open lane of this worker with nothing of its own, that may run jobs of the victim.
local function thief(name, victim, mine)
  local c = name ~= victim.name and mine[provider_of(name)] and config(name)
  local l = c and lane_of(name)
  if l and open(l) and queued(l) == 0 then return l, c end
end

-- Whether any group of the victim's jobs has a thief: asked before its jobs are read.
local function worth_a_look(victim, mine)
  local seen = {}
  for _, group in ipairs(call('HKEYS', P .. 'grp:' .. victim.name)) do
    local sig = string.match(group, '^[^:]*')
    for _, name in ipairs(seen[sig] and {} or signature(sig).c) do
      if thief(name, victim, mine) then return true end
    end
    seen[sig] = true
  end
  return false
end

-- A lane that has nothing of its own takes one job from a lane that is parked or full.
local function steal_from(out, victim, worker, mine)
  if not worth_a_look(victim, mine) then return false end
  for _, pick in ipairs(next_jobs(victim, LOOK, class_order(victim.claims))) do
    local h = job_of(pick.id)
    for _, name in ipairs(h.sig and signature(h.sig).c or {}) do
      local l, c = thief(name, victim, mine)
      if l then
        local cred, at, why = fit(l, c, need_of(h.need), pick.class)
        if cred then
          claim_job(out, victim, pick, h, l, cred, worker)
          return true
        end
        if at ~= NEVER then rest(l, at, why, pick.class) end
      end
    end
  end
  return false
end
