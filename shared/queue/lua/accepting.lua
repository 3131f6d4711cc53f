-- Library: writes a new job. Idempotent by job id, by idempotency key and, for SDK retries, by the
-- digest of API key and body of a job that is still live.
--
-- idem:<tenant>:<key digest> string "<job>|<body digest>" (24 h); live:<digest> string job id
-- tenants set; sigs hash signature -> {c, p}

local ARMED, CAPACITY, TENANTS
fresh[#fresh + 1] = function() ARMED, CAPACITY, TENANTS = nil, nil, {} end

local function existing(id, how)
  local h = call('HMGET', job_key(id), 'created', 'status')
  if not h[1] then return nil end
  return { how, id, h[1], h[2] }
end

local function known(j)
  local seen = j.idem and call('GET', P .. 'idem:' .. j.tenant .. ':' .. j.idem[1])
  if seen then
    local id, body = string.match(seen, '^(.-)|(.*)$')
    local found = existing(id, body == j.idem[2] and 'repeated' or 'conflict')
    if found then return found end
  end
  if j.join and j.live then
    local id = call('GET', P .. 'live:' .. j.live)
    local found = id and existing(id, 'joined')
    if found and (found[4] == 'queued' or found[4] == 'in_progress') then return found end
  end
  return existing(j.id, 'repeated')
end

-- Says when a job's wait or life ends at the latest; the scheduler is woken where it would look later.
local function must_end_by(id, expiry, lane)
  call('ZADD', P .. 'limits', expiry, id)
  ARMED = ARMED or tonumber(call('GET', P .. 'armed') or math.huge)
  if expiry >= ARMED then return end
  ARMED = expiry
  call('SET', P .. 'armed', string.format('%.0f', expiry))
  announce('limits', lane)
end

local function remember(j, deadline, start_by)
  if j.idem then
    call('SET', P .. 'idem:' .. j.tenant .. ':' .. j.idem[1], j.id .. '|' .. j.idem[2], 'PX',
      settings('idempotency_ms', '86400000'))
  end
  if j.live then call('SET', P .. 'live:' .. j.live, j.id, 'PX', j.deadline_ms or 86400000) end
  if not TENANTS[j.tenant] then
    TENANTS[j.tenant] = true
    call('SADD', P .. 'tenants', j.tenant)
  end
  local expiry = start_by and deadline and math.min(start_by, deadline) or start_by or deadline
  if expiry then must_end_by(j.id, expiry, j.lane) end
end

-- Returns how ('new' 'shared' 'cached' 'repeated' 'joined' 'conflict' 'full'), job id, created ms, status,
-- and of 'shared' and 'cached' whose answer it is.
-- `owed`: a job that a finish brings with it is taken whatever the bound.
local function accept(j, doc, owed)
  local found = known(j)
  if found then return found end
  CAPACITY = CAPACITY or settings('max_alive', '2000000') - alive()
  if CAPACITY <= 0 and not owed then return { 'full', j.id, NOW, 'queued' } end
  CAPACITY = CAPACITY - 1
  local deadline = j.deadline_ms and NOW + j.deadline_ms
  local start_by = j.max_wait_ms and NOW + j.max_wait_ms
  -- deadlines are told apart as far as it matters to who may pay to meet them
  local by = deadline and j.grain_ms and string.format('%.0f', math.ceil(deadline / j.grain_ms) * j.grain_ms)
  local h = { tenant = j.tenant, priority = j.priority, sig = j.sig, by = by, score = deadline or NOW + 31536000000 }
  local equal = j.like and equals.find(j, h) or {}
  local f = { 'tenant', j.tenant, 'kind', j.kind, 'priority', j.priority, 'sig', j.sig, 'need', j.need,
    'score', h.score, 'created', NOW, 'status', 'queued', 'lane', j.lane, 'fence', 0 }
  for name, value in pairs({ deadline = deadline or nil, by = by or nil, start_by = start_by or nil, watch = j.watch, live = j.live, hook = j.hook, as = j.as, batch = j.batch, parent = j.parent,
    weight = j.weight ~= 1 and j.weight or nil, like = j.like, share = j.share and 1, cache = j.cache, lead = equal.lead, from = equal.from }) do
    f[#f + 1] = name
    f[#f + 1] = value
  end
  call('HSET', job_key(j.id), unpack(f))
  call('SET', P .. 'doc:' .. j.id, doc)
  if j.parent then
    call('RPUSH', P .. 'kids:' .. j.parent, j.id)
    call('SADD', P .. 'brood:' .. j.parent, j.id)
    call('HINCRBY', job_key(j.parent), 'kids', 1)
  else
    call('ZADD', P .. 'ix:' .. j.tenant .. ':live', NOW, j.id)
  end
  BORN = BORN + 1
  bump('signed', j.sig, 1)
  remember(j, deadline, start_by)
  event(j.id, j.watch, 'job.queued', '{"lane":' .. cjson.encode(j.lane) .. (equal.told or '') .. '}')
  if equal.how then
    equals.join(j.id, pairs_of(f), equal)
    return { equal.how, j.id, NOW, equal.from and 'completed' or 'queued', equal.lead or equal.from }
  end
  if j.delay_ms and j.delay_ms > 0 then wait_until(j.id, j.lane, NOW + j.delay_ms)
  else enter(j.id, j.lane, h) end
  if j.share then equals.lead(j.id, j, equal.overtakes) end
  return { 'new', j.id, NOW, 'queued' }
end

-- Candidate lists are written once a signature: A.sigs = {sig = {c, p}}.
local function learn_signatures(sigs)
  for sig, lists in pairs(sigs or {}) do call('HSETNX', P .. 'sigs', sig, cjson.encode(lists)) end
end
