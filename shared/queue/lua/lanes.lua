-- Library: lanes. A lane is open, parked until a moment, or full (at its concurrency).
--
-- lane:<lane> hash: n0 n1 n2 queued by class; run; claims; v0 v1 v2 virtual times; last (ms: newest
--   interactive job); full; parked (ms) and its reason window class
-- ring:<lane>:<class> zset tenant -> virtual time; q:<lane>:<class>:<tenant> zset id -> score
-- grp:<lane> hash "<sig>:<class>[:<due by, ms>]" -> queued (due: jobs that may be paid for in time); ready:<provider> zset open lanes with work -> turn
-- park zset lane -> until; full set of lanes; delay zset id -> due; limits zset id -> expiry check,
-- armed (ms) when the scheduler looks at them next; quarantine zset id -> score;
-- look hash: at (ms) the scheduler reads the lanes next, absent: nobody knows; notice (ms) how long before
--   its deadline a job that may be paid for is to be seen
-- unserved zset lane -> since (ms): nobody serves it any more and work was left there
-- kids:<job> list of the children of a parent, oldest first; brood:<job> set of those that live;
-- state:<job> string, what its next step goes on from (JSON)

local LANES, RINGED, DUES_CHANGED, ENDED, LOOKS  -- DUES_CHANGED: delay or park was written; ENDED: see conclude
fresh[#fresh + 1] = function() LANES, RINGED, DUES_CHANGED, ENDED, LOOKS = {}, {}, false, {}, nil end

local function lane_of(name)
  local l = LANES[name]
  if not l then
    local h = pairs_of(call('HGETALL', P .. 'lane:' .. name))
    l = { name = name, provider = provider_of(name), changed = {},
      n0 = tonumber(h.n0 or 0), n1 = tonumber(h.n1 or 0), n2 = tonumber(h.n2 or 0),
      v0 = tonumber(h.v0 or 0), v1 = tonumber(h.v1 or 0), v2 = tonumber(h.v2 or 0),
      run = tonumber(h.run or 0), claims = tonumber(h.claims or 0), last = tonumber(h.last or 0),
      full = h.full and tonumber(h.full), parked = h.parked and tonumber(h.parked), class = h.class and tonumber(h.class),
      reason = h.reason, window = h.window }
    LANES[name] = l
  end
  return l
end

local function put(l, field, value)
  l[field] = value
  l.changed[field] = true
end
local function queued(l) return l.n0 + l.n1 + l.n2 end
local function open(l) return not l.parked and not l.full end

-- Brings ready:<provider> in line with the lane; true where it has become claimable.
local function show(l)
  local ready = P .. 'ready:' .. l.provider
  if queued(l) > 0 and open(l) then
    if not l.ready then
      l.ready = true
      local first = call('ZRANGE', ready, 0, 0, 'WITHSCORES')
      if call('ZADD', ready, 'NX', first[2] or '0', l.name) == 1 then wake(l.provider) end
    end
    return true
  end
  if l.ready ~= false then
    l.ready = false
    call('ZREM', ready, l.name)
  end
  return false
end

local function flush_lanes()
  for _, l in pairs(LANES) do
    local set, gone = {}, {}
    for field in pairs(l.changed) do
      if l[field] == nil then
        gone[#gone + 1] = field
      else
        set[#set + 1] = field
        set[#set + 1] = (field == 'v0' or field == 'v1' or field == 'v2') and string.format('%.6f', l[field]) or l[field]
      end
    end
    if #set > 0 then call('HSET', P .. 'lane:' .. l.name, unpack(set)) end
    if #gone > 0 then call('HDEL', P .. 'lane:' .. l.name, unpack(gone)) end
    if next(l.changed) then show(l) end
    l.changed = {}
  end
end

-- Work is left on a lane that has no configuration: the scheduler takes it elsewhere (evacuate.lua).
local function unserved(name)
  if call('ZADD', P .. 'unserved', 'NX', NOW, name) == 1 then announce('unserved', name) end
end

local function flush()
  for _, write in ipairs(later) do write() end
  flush_lanes()
  flush_counters()
  if BORN ~= 0 then call('INCRBY', P .. 'alive', BORN) end
end

local function unpark(l)
  if not l.parked then return end
  DUES_CHANGED = true
  call('ZREM', P .. 'park', l.name)
  for _, field in ipairs({ 'parked', 'reason', 'window', 'class' }) do put(l, field, nil) end
end

-- Stops a lane in O(1), whatever its backlog. Never shortens a cooldown that is already set.
local function park(l, till, reason, window, class)
  if l.parked and l.reason == 'cooldown' and l.parked > till then return end
  put(l, 'parked', till); put(l, 'reason', reason); put(l, 'window', window or ''); put(l, 'class', class or 3)
  DUES_CHANGED = true
  call('ZADD', P .. 'park', string.format('%.0f', till), l.name)
  show(l)
end

-- Full for this class of jobs and those below it, until a finish.
local function fill(l, class)
  put(l, 'full', 1 + (class or 0))
  call('SADD', P .. 'full', l.name)
  show(l)
end
local function unfill(l)
  if not l.full then return end
  put(l, 'full', nil)
  call('SREM', P .. 'full', l.name)
end

-- Equal jobs: sharing.lua fills it. Where it is not loaded no job comes to its end.
local equals = {}

local function group_of(h, class) return h.sig .. ':' .. class .. (h.by and ':' .. h.by or '') end

-- A job that may be paid for waits for free quota: the scheduler is to see it half of the way to the
-- moment when paying for it may have to begin, so that there is time left for what comes with it.
local function to_be_seen(h, lane)
  for _, paid in ipairs(signature(h.sig).p) do
    if paid == lane then return end
  end
  if not LOOKS then
    local v = call('HMGET', P .. 'look', 'at', 'notice')
    LOOKS = { at = tonumber(v[1] or math.huge), notice = tonumber(v[2] or 0) }
    if LOOKS.at < NOW then LOOKS.at = math.huge end  -- nothing was queued: nobody looks by itself
  end
  local at = NOW + math.floor(math.max(0, tonumber(h.score) - LOOKS.notice - NOW) / 2)
  if at >= LOOKS.at then return end
  LOOKS.at = at
  call('HSET', P .. 'look', 'at', string.format('%.0f', at))
  announce('due', string.format('%.0f', at - NOW))
end

-- Puts a job in its lane. `h` holds tenant priority score sig by. Nobody looks at a lane that has no
-- configuration (its provider may have been taken away while the call was made): the first job tells.
local function enter(id, name, h)
  local l, class = lane_of(name), tonumber(h.priority)
  local ring = P .. 'ring:' .. name .. ':' .. class
  if queued(l) == 0 and call('HEXISTS', P .. 'cfg', name) == 0 then unserved(name) end
  call('ZADD', P .. 'q:' .. name .. ':' .. class .. ':' .. h.tenant, h.score, id)
  if not RINGED[ring .. h.tenant] then
    RINGED[ring .. h.tenant] = true
    call('ZADD', ring, 'NX', string.format('%.6f', l['v' .. class]), h.tenant)
  end
  -- a lane that rests for its quota looks again when something more urgent, or one of few, arrives
  if l.parked and l.reason == 'quota' and (class < (l.class or 3) or queued(l) < 16) then unpark(l) end
  if l.full and class < l.full - 1 then unfill(l) end
  put(l, 'n' .. class, l['n' .. class] + 1)
  bump('grp:' .. name, group_of(h, class), 1)
  if h.by then to_be_seen(h, name) end
  if class == 0 and NOW - l.last > 1000 then put(l, 'last', NOW) end
  if not show(l) and not l.helped then
    l.helped = true
    for _, other in ipairs(signature(h.sig).c) do  -- somebody may steal it
      if other ~= name and open(lane_of(other)) then wake(provider_of(other)) end
    end
  end
end

-- Takes a queued job out of its lane; its tenant leaves the ring with its last job there.
local function leave(id, name, h, last)
  local l, class = lane_of(name), tonumber(h.priority)
  local q = P .. 'q:' .. name .. ':' .. class .. ':' .. h.tenant
  if call('ZREM', q, id) == 0 then return false end
  if last == nil then last = call('EXISTS', q) == 0 end
  if last then
    local ring = P .. 'ring:' .. name .. ':' .. class
    call('ZREM', ring, h.tenant)
    RINGED[ring .. h.tenant] = nil
  end
  put(l, 'n' .. class, math.max(0, l['n' .. class] - 1))
  bump('grp:' .. name, group_of(h, class), -1)
  return true
end

local function wait_until(id, name, due)
  DUES_CHANGED = true
  call('HSET', job_key(id), 'due', due)
  call('ZADD', P .. 'delay', due, id)
  if call('ZRANGE', P .. 'delay', 0, 0)[1] == id then wake(provider_of(name)) end
end

-- Takes a job out of wherever it waits: 'delay', 'lane', 'quarantine', 'group' (it follows another) or nil.
local function pull(id, h)
  if h.status ~= 'queued' then return nil end
  if h.lead then return call('ZREM', P .. 'fol:' .. h.lead, id) == 1 and 'group' or nil end
  if h.due and call('ZREM', P .. 'delay', id) == 1 then
    call('HDEL', job_key(id), 'due')
    return 'delay'
  end
  if leave(id, h.lane, h) then return 'lane' end
  return call('ZREM', P .. 'quarantine', id) == 1 and 'quarantine' or nil
end

-- A line of a batch has ended: counted, and marked for the scheduler to collect (core/batch.py, Mark).
-- batch:<id> hash (store/batches.py); bended:<id> list "<mark><job id>", oldest first
local function line_ended(id, h, status)
  local batch = string.match(h.batch, '^%S+')
  local key = P .. 'batch:' .. batch
  local v = call('HMGET', key, 'status', 'fed')
  if not v[1] then return end
  local mark = status == 'completed' and 'C' or status == 'expired' and 'X' or 'F'
  if status == 'cancelled' and v[1] ~= 'in_progress' then mark = 'K' end
  call('RPUSH', P .. 'bended:' .. batch, mark .. id)
  if mark == 'C' or mark == 'F' then call('HINCRBY', key, mark == 'C' and 'completed' or 'failed', 1) end
  if mark == 'C' and provider_of(h.lane) ~= 'own' then call('HINCRBY', key, 'by ' .. deployment_of(h.lane), 1) end
  local ended = call('HINCRBY', key, 'ended', 1)
  if ended % 500 == 0 or ended >= tonumber(v[2] or '0') then announce('batch', '') end
end

local function sum_usage(a, b)
  local of, sum = {}, {}
  for n in string.gmatch(b, '%d+') do of[#of + 1] = tonumber(n) end
  for n in string.gmatch(a or '0,0,0,0,0,0', '%d+') do sum[#sum + 1] = string.format('%.0f', tonumber(n) + (of[#sum + 1] or 0)) end
  sum[6] = (tonumber(sum[6]) > 0) and '1' or '0'
  return table.concat(sum, ',')
end

-- A child has ended: its parent's figures grow, and it takes its next step where it waited for this one.
-- `need`'s fourth number is what a part of audio is long. Progress is told a hundred times at most.
local function child_ended(id, h, status)
  local p, key = job_of(h.parent), job_key(h.parent)
  call('SREM', P .. 'brood:' .. h.parent, id)
  if p.status ~= 'queued' and p.status ~= 'in_progress' then return end
  local ended, done = call('HINCRBY', key, 'kids_ended', 1), tonumber(p.kids_completed or '0')
  local audio = tonumber(p.kids_audio or '0')
  if status == 'completed' then
    done = call('HINCRBY', key, 'kids_completed', 1)
    audio = call('HINCRBY', key, 'kids_audio', string.match(h.need, '^%d+,%d+,%d+,(%d+)'))
  end
  local own = call('HMGET', job_key(id), 'cost', 'usage')
  if own[1] then call('HINCRBY', key, 'cost', own[1]) end
  if own[2] then call('HSET', key, 'usage', sum_usage(p.usage, own[2])) end
  local total = tonumber(p.kids)
  if ended % math.max(1, math.floor(total / 100)) == 0 or ended == total then
    event(h.parent, p.watch, 'job.progress', '{"children":{"total":' .. total .. ',"ended":' .. ended .. ',"completed":'
      .. done .. ',"audio_seconds":' .. audio .. '}' .. ',"step":' .. (p.progress or 'null') .. '}')
  end
  if p.awaits and ended >= tonumber(p.awaits) then
    call('HDEL', key, 'awaits')
    enter(h.parent, p.lane, p)
  end
end

-- Writes the one final state: status, index, the terminal event, the time to live of its keys.
-- `h` holds tenant kind sig created watch live hook batch parent kids like lead; `fields` more of the job hash; `outcome` what res:<id>
-- keeps. Who wants to hear of it hears when the call ends (hooks.lua).
local function conclude(id, h, status, fields, outcome, data, body)
  local key, ttl = job_key(id), settings('retention_ms', '259200000')
  fields = fields or {}
  for _, v in ipairs({ 'status', status, 'ended', NOW }) do fields[#fields + 1] = v end
  call('HSET', key, unpack(fields))
  if outcome then call('SET', P .. 'res:' .. id, outcome, 'PX', ttl) end
  if not h.parent then
    call('ZREM', P .. 'ix:' .. h.tenant .. ':live', id)
    call('ZADD', P .. 'ix:' .. h.tenant .. ':' .. status, h.created, id)
  end
  call('ZREM', P .. 'limits', id)
  BORN = BORN - 1
  bump('signed', h.sig, -1)
  bump('done', status, 1)
  if h.batch then line_ended(id, h, status) end
  if h.parent then child_ended(id, h, status) end
  local n = event(id, h.watch, 'job.' .. status, data or '{}', body, true)
  if h.kind ~= 'task' then ENDED[#ENDED + 1] = { id = id, h = h, status = status, n = n, outcome = outcome } end
  if h.live and call('GET', P .. 'live:' .. h.live) == id then call('DEL', P .. 'live:' .. h.live) end
  call('PEXPIRE', key, ttl)
  call('PEXPIRE', P .. 'doc:' .. id, ttl)
  for _, noun in ipairs(h.stepped and { 'kids:', 'state:' } or {}) do call('PEXPIRE', P .. noun .. id, ttl) end
  call('PEXPIRE', P .. 'ev:' .. id, settings('events_ms', '3600000'))
  if h.like and not h.lead then equals.ended(id, h, status, outcome, body) end
end
