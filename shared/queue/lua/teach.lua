-- uses: prelude lanes quota accepting claiming
-- Looks at what is known of one credential's limits, or changes it. ARGS[1]: {lane, cred, and one of
--   look {log: bool}
--   observe [{w: window spec, used, at (ms)}]  a provider's own count of a window
--   was, now (texts of cfg <lane>), trail (text), keep {field of `learned`: text, '' removes},
--     seed [{w: window spec, from: spec of the log or window it takes over, used}],
--     shared {window key: its spec, for every other lane that has it}}
-- Returns: look: JSON {now, raw, trail, run, admitted (ms), win {key: [used, free]}, sent {key: [[ms, calls]]}};
--   observe: how many windows were raised; else '' where cfg was `was` and now is `now`, or the text
--   that stands there instead (nothing was changed then).
-- Promises: one atomic step; a lane whose limits changed is looked at again at once, a cooldown stays.
-- trail hash "<lane>|<cred>" -> JSON of core/estimate.py Trail; learned hash: shared/store/learned.py.
local lane, me = A.lane, A.lane .. '|' .. A.cred

local function credential_of(c)
  for _, cred in ipairs(c and c.creds or {}) do
    if cred.id == A.cred then return cred end
  end
end

local function look()
  local raw = call('HGET', P .. 'cfg', lane) or ''
  local cred = credential_of(config(lane))
  local out = { now = NOW, raw = raw, trail = call('HGET', P .. 'trail', me) or '', run = counter('run', me),
    admitted = tonumber(call('HGET', P .. 'admitted', me) or '0'), win = {}, sent = {} }
  for _, w in ipairs(cred and cred.win or {}) do
    local used, free = Q.view(w)
    out.win[w.k] = { used, free }
    if A.look.log and w.t == 'sliding' and w.d == 'requests' then out.sent[w.k] = Q.sent(w, 0) end
  end
  if A.look.log and cred and cred.seen then out.sent[cred.log.k] = Q.sent(cred.log, 0) end
  return cjson.encode(out)
end

-- The provider counts clearly more than we do: somebody else uses the key.
local function observe()
  local raised, run = 0, counter('run', me)
  for _, o in ipairs(A.observe) do
    local back = math.ceil(math.max(0, NOW - o.at) * o.w.l / o.w.s)  -- since it was counted
    local used, told = Q.view(o.w), o.used - back
    if told > used + run + math.max(2, o.w.l * 0.05) then
      Q.observe(o.w, told)
      raised = raised + 1
    end
  end
  return raised
end

-- A new ledger begins with what the one before it counted.
local function seed(s)
  if s.from and s.from.t == 'sliding' and s.w.t == 'sliding' and s.from.k ~= s.w.k then
    call('DEL', P .. 'quota:' .. s.w.k, P .. 'quotalog:' .. s.w.k)
    Q.bring(s.from, s.w)
  end
  if s.used then Q.observe(s.w, s.used) end
end

local function reopen(name)
  local l = lane_of(name)
  if l.reason ~= 'cooldown' then unpark(l) end
  unfill(l)
  show(l)
  wake(l.provider)
  announce('configured', name)
end

-- Windows that several lanes share change in all of them.
local function spread()
  for _, name in ipairs(call('HKEYS', P .. 'cfg')) do
    local c, changed = name ~= lane and config(name), false
    for _, cred in ipairs(c and c.creds or {}) do
      for i, w in ipairs(cred.win) do
        if A.shared[w.k] then
          cred.win[i], changed = A.shared[w.k], true
        end
      end
    end
    if changed then
      call('HSET', P .. 'cfg', name, cjson.encode(c))
      reopen(name)
    end
  end
end

local function teach()
  local raw = call('HGET', P .. 'cfg', lane)
  if raw ~= A.was then return raw or '{}' end
  if A.trail then call('HSET', P .. 'trail', me, A.trail) end
  if A.now == A.was then return '' end
  call('HSET', P .. 'cfg', lane, A.now)
  for field, text in pairs(A.keep or {}) do
    if text == '' then call('HDEL', P .. 'learned', field) else call('HSET', P .. 'learned', field, text) end
  end
  for _, s in ipairs(A.seed or {}) do seed(s) end
  CONFIGS[lane] = nil
  local cred = credential_of(config(lane))
  if cred and not cred.grow then call('HDEL', P .. 'cap', me) end
  reopen(lane)
  if A.shared and next(A.shared) then spread() end
  return ''
end

local answer
if A.look then answer = look() elseif A.observe then answer = observe() else answer = teach() end
flush()
return answer
