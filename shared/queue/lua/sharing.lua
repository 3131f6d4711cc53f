-- Library: equal jobs of one tenant. One leads and is called for; others follow it, in no lane, and end
-- as it ends. Answers may be kept, and given to whoever asks the same.
--
-- lead:<tenant>:<likeness> string job id: the living job that a newcomer follows
-- fol:<job> zset of the jobs that follow it -> urgency: priority, then deadline
-- kept hash "<tenant>:<likeness>" -> "<job> <until ms>": whose answer is given; kept_until zset of the same
--   -> until
-- job hash like: its likeness; share: it may lead and follow; cache: ms an answer is kept;
--   lead: whom it follows, or followed when it ended; from: whose kept answer it was given;
--   worth: microusd of its call by the list
--
-- A follower is queued. No follower leads; whoever follows names a living job that does not follow.

local MOST_FOLLOW, MOST_KEPT_BYTES, MOST_COPIED_BYTES, A_SWEEP = '256', '16777216', '67108864', 16

local function urgency(h) return tonumber(h.priority) * 1e14 + tonumber(h.score) end
local function name_of(h) return h.tenant .. ':' .. h.like end
local function group(id) return P .. 'fol:' .. id end

-- The kept answer of an equal job, if it is there, young enough and not too large to be copied.
local function kept(j)
  local name = name_of(j)
  local entry = j.cache and call('HGET', P .. 'kept', name)
  if not entry then return nil end
  local id, till = string.match(entry, '^(%S+) (%d+)$')
  local h = tonumber(till) > NOW and job_of(id) or {}
  local outcome = h.status == 'completed' and call('GET', P .. 'res:' .. id)
  if not outcome then
    call('HDEL', P .. 'kept', name)
    call('ZREM', P .. 'kept_until', name)
    return nil
  end
  if tonumber(h.ended) + j.cache < NOW then return nil end
  return { how = 'cached', from = id, source = h, outcome = outcome, told = ',"cached_from":' .. cjson.encode(id) }
end

-- What a new job has in common with others: a kept answer, a job to follow, or one that it overtakes.
function equals.find(j, h)
  local answer = kept(j)
  local id = not answer and j.share and call('GET', P .. 'lead:' .. name_of(j))
  if not id then return answer end
  local l = job_of(id)
  if call('ZCARD', group(id)) >= settings('followers', MOST_FOLLOW) then return nil end
  -- what is done in steps begins anew with whoever leads: it is not taken over, nor waited for by the more urgent
  if l.stepped or l.status == 'in_progress' and provider_of(l.lane) == 'own' then
    if h.priority < tonumber(l.priority) then return nil end
  elseif l.status == 'queued' and urgency(h) < urgency(l) and not call('ZSCORE', P .. 'quarantine', id) then
    return { overtakes = { id = id, h = l } }
  end
  return { how = 'shared', lead = id, told = ',"shared_with":' .. cjson.encode(id) }
end

local NOTHING_USED = '0,0,0,0,0,0'
local function told_of_end(h, lane, started, name, id)
  return cjson.encode({ lane = lane, attempts = tonumber(h.attempts or 0), requeues = tonumber(h.requeues or 0),
    cost = tonumber(h.cost or 0), queued_ms = started - tonumber(h.created), held_ms = NOW - started, [name] = id })
end

local function short(outcome) return #outcome <= 65537 and string.sub(outcome, 2) or nil end

-- Does what `find` found: the job follows, or has its answer.
function equals.join(id, h, equal)
  if equal.lead then return call('ZADD', group(equal.lead), string.format('%.0f', urgency(h)), id) end
  local source = equal.source
  spare(h.tenant, source.lane, true, source.worth or source.cost)
  conclude(id, h, 'completed', { 'lane', source.lane, 'started', NOW, 'usage', NOTHING_USED }, equal.outcome,
    told_of_end(h, source.lane, NOW, 'cached_from', equal.from), short(equal.outcome))
end

-- Those who followed one job follow another.
local function hand_on(from, to)
  for _, id in ipairs(call('ZRANGE', group(from), 0, -1)) do call('HSET', job_key(id), 'lead', to) end
  if call('EXISTS', group(from)) == 1 then call('RENAME', group(from), group(to)) end
end

local function follow(id, h, leader)
  call('HSET', job_key(id), 'lead', leader)
  call('ZADD', group(leader), string.format('%.0f', urgency(h)), id)
  event(id, h.watch, 'job.moved', cjson.encode({ from = h.lane, to = h.lane, reason = 'shared', shared_with = leader }))
end

-- A job that has a place of its own is the one that newcomers follow. `overtaken` leaves its place to it.
function equals.lead(id, j, overtaken)
  call('SET', P .. 'lead:' .. name_of(j), id)
  if not overtaken then return end
  pull(overtaken.id, overtaken.h)
  hand_on(overtaken.id, id)
  follow(overtaken.id, overtaken.h, id)
end

local function may_go(sig, lane)
  for _, name in ipairs(signature(sig).c) do
    if name == lane then return true end
  end
  return false
end

-- The most urgent follower takes a place in a lane and leads the others; nil where nobody follows.
-- It goes where its leader was, if it may: that lane is no worse than the one it was given itself.
local function succeed(id, h, lane)
  local first = call('ZRANGE', group(id), 0, 0)[1]
  if not first then return nil end
  local f = job_of(first)
  call('ZREM', group(id), first)
  hand_on(id, first)
  if h.started and f.start_by then call('HDEL', job_key(first), 'start_by') end  -- work on it had begun
  call('HDEL', job_key(first), 'lead')
  local to = may_go(f.sig, lane) and lane or f.lane
  call('HSET', job_key(first), 'lane', to)
  event(first, f.watch, 'job.moved', cjson.encode({ from = f.lane, to = to, reason = 'leads' }))
  -- what brought down two workers may do so again, asked by another
  if h.suspect then call('ZADD', P .. 'quarantine', f.score, first) else enter(first, to, f) end
  local key = P .. 'lead:' .. name_of(h)
  local leads = call('GET', key)
  if not leads or leads == id then call('SET', key, first) end
  return first
end

-- A running leader goes back to its queue: one of its followers may be more urgent. Then it follows.
function equals.yield(id, h, lane)
  local first = call('ZRANGE', group(id), 0, 0, 'WITHSCORES')
  if not first[1] or tonumber(first[2]) >= urgency(h) then return false end
  local leader = succeed(id, h, lane)
  h.lane = lane
  follow(id, h, leader)
  return true
end

-- Whether work on a job has begun: on its own, or on the one that it follows.
function equals.started(h)
  return h.started or h.lead and call('HGET', job_key(h.lead), 'started')
end

-- Keeps a job's answer; what is over gives way, and what ends first where there are too many.
local function keep(id, h, outcome)
  if #outcome > settings('kept_bytes', MOST_KEPT_BYTES) then return end
  local till = NOW + math.min(tonumber(h.cache), settings('retention_ms', '259200000'))
  local name, text = name_of(h), string.format('%.0f', till)
  if tonumber(call('ZSCORE', P .. 'kept_until', name) or '0') > till then return end
  call('HSET', P .. 'kept', name, id .. ' ' .. text)
  call('ZADD', P .. 'kept_until', text, name)
  local gone = call('ZRANGEBYSCORE', P .. 'kept_until', '-inf', NOW, 'LIMIT', 0, A_SWEEP)
  local much = call('ZCARD', P .. 'kept_until') - settings('kept', '100000')
  if #gone == 0 and much > 0 then gone = call('ZRANGE', P .. 'kept_until', 0, math.min(much, A_SWEEP) - 1) end
  if #gone == 0 then return end
  call('ZREM', P .. 'kept_until', unpack(gone))
  call('HDEL', P .. 'kept', unpack(gone))
end

-- A follower ends as its leader did, by that one's call.
local function end_alike(id, leader, l, status, outcome, body)
  local h = job_of(id)
  local started = math.max(tonumber(l.started or NOW), tonumber(h.created))
  local f = { 'lane', l.lane, 'started', started }
  if status == 'completed' then
    spare(h.tenant, l.lane, false, l.worth or l.cost)
    if not h.usage then f[5], f[6] = 'usage', NOTHING_USED end
    conclude(id, h, status, f, outcome, told_of_end(h, l.lane, started, 'shared_with', leader), body)
  else
    call('ZADD', P .. 'dead', NOW, id)
    conclude(id, h, status, f, outcome, cjson.encode({ shared_with = leader }), body)
  end
end

-- A job with a place of its own has ended: what becomes of those who follow it, and of its answer.
-- `h.own`: it failed by its own fault, so that its equals would as well.
function equals.ended(id, h, status, outcome, body)
  if h.from then return end
  local done = status == 'completed'
  if done and h.cache then keep(id, h, outcome) end
  if not h.share then return end
  if done or status == 'failed' and h.own then
    local most = math.max(1, math.floor(settings('copied_bytes', MOST_COPIED_BYTES) / #outcome))
    for _, each in ipairs(call('ZRANGE', group(id), 0, most - 1)) do  -- each of them keeps a copy
      call('ZREM', group(id), each)
      end_alike(each, id, h, status, outcome, body)
    end
  end
  if succeed(id, h, h.lane) then return end
  local key = P .. 'lead:' .. name_of(h)
  if call('GET', key) == id then call('DEL', key) end
end
