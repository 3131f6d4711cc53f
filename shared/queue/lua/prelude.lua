-- Library: names, clock, settings, counters, events and indexes that every script shares.
-- The one key is the prefix with its hash tag ("{hr}:"); all others are derived from it: one slot.
-- ARGS[1] is a JSON header, decoded as A. Moments are epoch ms by Redis TIME, read once.
-- Counters and lanes are read once and written once a call: every script ends with flush().
--
-- job:<id>   hash   what changes of a job:
--   tenant kind priority weight created sig need("in,out,max,audio[,inputs]") live hook as batch("<id> <custom id>") parent  written once
--   status(queued|in_progress|final word) lane score deadline by start_by due   where it stands
--   fence worker cred reserved hedge started ended                           who holds it
--   attempts requeues lost uncertain suspect spared streamed("fence:events") what happened to it
--   watch cost usage a1 a2 … (a JSON record an attempt)                      what is told of it
--   like share cache lead from worth                                         what it has in common (sharing.lua)
--   stepped awaits kids kids_ended kids_completed kids_audio progress(JSON) begun(JSON)  of a parent: see lanes.lua
-- doc:<id> string what was accepted; res:<id> string "R" result or "E" error; ev:<id> list "type\ndata"
-- ix:<tenant>:<live|final word> zset id -> created; alive string, done hash: how many of each
local call, ARGS, P, A, NOW
local SETTINGS, COUNTS, BORN, WOKEN, SAID, SIGS, CONFIGS
local fresh = {}  -- what the libraries forget between two calls
local later = {}  -- what they write when a call ends

-- Every call of every script starts here.
local function begin(keys, args)
  call, ARGS, P, A = redis.call, args, keys[1], cjson.decode(args[1])
  if A.now_ms then
    if call('EXISTS', P .. 'testing') == 0 then error({ err = 'REFUSED now_ms is for tests only' }) end
    NOW = tonumber(A.now_ms)
  else
    local t = call('TIME')
    NOW = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
  end
  SETTINGS, COUNTS, BORN, WOKEN, SAID, SIGS, CONFIGS = nil, {}, 0, {}, {}, {}, {}
  for _, forget in ipairs(fresh) do forget() end
end

local function job_key(id) return P .. 'job:' .. id end
local function provider_of(lane) return string.match(lane, '^[^/]*') end
local function deployment_of(lane) return string.match(lane, '^(.*)@') or lane end

local function pairs_of(flat)
  local t = {}
  for i = 1, #flat, 2 do t[flat[i]] = flat[i + 1] end
  return t
end

-- All of a job's hash: cheaper than naming a dozen fields of it. Empty where there is no such job.
local function job_of(id) return pairs_of(call('HGETALL', P .. 'job:' .. id)) end

local function settings(name, default)
  SETTINGS = SETTINGS or pairs_of(call('HGETALL', P .. 'set'))
  return tonumber(SETTINGS[name] or default)
end

-- Small hashes of counters, read through and written back by flush(); a count at zero is removed.
local function counter(hash, field)
  local h = COUNTS[hash]
  if not h then
    h = { value = {}, delta = {} }
    COUNTS[hash] = h
  end
  if not h.value[field] then h.value[field] = tonumber(call('HGET', P .. hash, field) or '0') end
  return h.value[field] + (h.delta[field] or 0)
end
local function bump(hash, field, by)
  local h = COUNTS[hash]
  if not h then
    h = { value = {}, delta = {} }
    COUNTS[hash] = h
  end
  h.delta[field] = (h.delta[field] or 0) + by
end
local function flush_counters()
  for hash, h in pairs(COUNTS) do
    for field, by in pairs(h.delta) do
      if by ~= 0 and call('HINCRBY', P .. hash, field, by) <= 0 then
        call('HDEL', P .. hash, field)
        if hash == 'signed' then call('ZADD', P .. 'sigs_idle', string.format('%.0f', NOW), field) end
      end
    end
  end
end

local function alive() return tonumber(call('GET', P .. 'alive') or '0') + BORN end

-- One token wakes one worker; who finds more than it can take passes the token on.
local function wake(provider)
  if WOKEN[provider] then return end
  WOKEN[provider] = true
  local key = P .. 'wake:' .. provider
  if call('LLEN', key) == 0 then call('LPUSH', key, '1') end
end

-- Tells one worker something about a job it holds ("drop <id> <fence>").
local function tell(worker, word)
  local key = P .. 'ctl:' .. worker
  call('RPUSH', key, word)
  call('PEXPIRE', key, 60000)
end

-- The scheduler listens here; nothing depends on a message being heard.
local function announce(kind, lane)
  local text = kind .. ' ' .. lane
  if not SAID[text] then
    SAID[text] = true
    call('PUBLISH', P .. 'lane-events', text)
  end
end

-- Appends one event and tells the inboxes that watch; those marked "!" hear of the terminal one only.
-- `body` (a result) is told with it, not kept.
local function event(id, watch, kind, data, body, terminal)
  local n = call('RPUSH', P .. 'ev:' .. id, kind .. '\n' .. data)
  if not watch then return n end
  local line
  for mark, inbox in string.gmatch(watch, '(!?)([^,!]+)') do
    if mark == '' or terminal then
      line = line or id .. '\n' .. n .. '\n' .. kind .. '\n' .. data .. (body and '\n' .. body or '')
      call('PUBLISH', P .. 'inbox:' .. inbox, line)
    end
  end
  return n
end

-- How often a job was tried (and `more` times), and whether that try is told of: its list of events has
-- a bound too.
local function tries(h, more)
  local n = tonumber(h.attempts or '0') + tonumber(h.requeues or '0') + more
  return n, n < 200 or n % 100 == 0
end

-- A signature is the ordered candidate lanes of a job: {c = {...}, p = {...} paid}.
-- signed hash sig -> jobs without a final state that have it; sigs_idle zset sig -> since when none has:
-- store/lua/clean.lua forgets it once no job that had it can be replayed.
local function signature(sig)
  local s = SIGS[sig]
  if not s then
    local raw = call('HGET', P .. 'sigs', sig) or '{}'
    s = cjson.decode(raw)
    s = { c = s.c or {}, p = s.p or {}, raw = raw }
    SIGS[sig] = s
  end
  return s
end

-- Work of our own has no quota; what waits for the outside has a bound, or a dead receiver would
-- take every worker's slots.
local function at_most(n) return { creds = { { id = '', conc = n, win = {} } } } end
local OWN = { ['own/webhooks@shared'] = at_most(64), ['own/summaries@shared'] = at_most(32), ['own/transcriptions@shared'] = at_most(32) }

-- The lane's configuration, written by configure.lua; nil where nobody serves it.
local function config(lane)
  local c = CONFIGS[lane]
  if c == nil then
    local raw = call('HGET', P .. 'cfg', lane)
    c = raw and cjson.decode(raw) or OWN[lane] or provider_of(lane) == 'own' and { free = true, creds = {} }
    CONFIGS[lane] = c
  end
  return c or nil
end
