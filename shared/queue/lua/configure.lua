-- uses: prelude lanes quota accepting claiming
-- Writes lane configurations and the settings scripts read. ARGS[1]: {lanes: {lane: {free, creds: [entries:
-- shared/store/learned.py; specs of windows: quota.lua], tiers (how many creds of one priority stand together;
-- nil: all)}}, drop: [lane], set: {name: value}, version}
-- Returns the number of lanes changed. A changed lane is looked at again at once, a resting one where
-- a credential of it does not rest; what waits on a dropped one is told to the scheduler, and of its
-- rests nothing is kept.
-- A credential whose calls are counted elsewhere from now on (its organisation became known) brings
-- what it has used, where that was counted for it alone.
local changed = 0

local function like(w, windows)
  for _, o in ipairs(windows) do
    if o.n == w.n and o.d == w.d and o.s == w.s and o.t == w.t then return o end
  end
end

local function bring(was, cred)
  local own = was.id .. '|'
  for _, w in ipairs({ cred.log, unpack(cred.win) }) do
    local o = like(w, { was.log, unpack(was.win) })
    if o and o.k ~= w.k and string.sub(o.k, 1, #own) == own then
      Q.bring(o, w)
      call('DEL', P .. 'quota:' .. o.k, P .. 'quotalog:' .. o.k)
    end
  end
end

local function moved(before, now)
  local known = {}
  for _, cred in ipairs(before and before.creds or {}) do known[cred.id] = cred end
  for _, cred in ipairs(now and now.creds or {}) do
    local was = known[cred.id]
    if was and was.log and cred.log and was.log.k ~= cred.log.k then bring(was, cred) end
  end
end

for name, value in pairs(A.set or {}) do call('HSET', P .. 'set', name, value) end
for lane, c in pairs(A.lanes or {}) do
  local text = type(c) == 'string' and c or cjson.encode(c)
  if call('HGET', P .. 'cfg', lane) ~= text then
    local before = config(lane)
    call('HSET', P .. 'cfg', lane, text)
    changed = changed + 1
    local l = lane_of(lane)
    CONFIGS[lane] = nil
    moved(before, config(lane))
    if l.reason ~= 'cooldown' or awake(lane) <= NOW then unpark(l) end
    unfill(l)
    show(l)
    wake(l.provider)
  end
end
local function forget_rests(lane)
  local start = 'l:' .. lane .. '|'
  for _, scope in ipairs(call('HKEYS', P .. 'cool')) do
    if string.sub(scope, 1, #start) == start then call('HDEL', P .. 'cool', scope) end
  end
end

local suspects = {}  -- lane -> some job of it is in quarantine
for _, id in ipairs(A.drop and call('ZRANGE', P .. 'quarantine', 0, 999) or {}) do
  suspects[call('HGET', job_key(id), 'lane') or ''] = true
end
for _, lane in ipairs(A.drop or {}) do
  changed = changed + call('HDEL', P .. 'cfg', lane)
  forget_rests(lane)
  if queued(lane_of(lane)) > 0 or suspects[lane] then unserved(lane) end
end
if A.version then call('SET', P .. 'cfg:version', A.version) end
if changed > 0 then announce('configured', A.version or '') end
flush()
return changed
