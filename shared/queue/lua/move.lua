-- uses: prelude lanes quota accepting claiming usage
-- Moves waiting jobs to another lane; a running job is never moved. Their scores are kept.
-- ARGS[1]: {to, reason, ids}, or {to, reason, from, class (nil: all, bulk first), most, fence,
--   sig (nil: any), due (ms, nil: any), after (ms)}: from the back of each tenant's queue, so that what is about
--   to start stays; with `due` only jobs whose deadline is after `after` and at or before `due`, from the front;
--   `pays`: `to` costs money, so a job that a free lane can start at once goes there instead, once.
--   `fence`: the leader's; an older one than the newest seen is refused.
--   Or {moves: [such], fence}: one after the other, in one call.
-- Returns the number of jobs moved, of `moves` a list of them. A lane move takes only jobs that list `to`
-- as a candidate, and looks at 4 x most + 64 jobs at the most.
if A.fence then
  local seen = tonumber(call('GET', P .. 'leader:fence') or '0')
  if A.fence < seen then return redis.error_reply('STALE a newer leader acts') end
end
local function may(sig)
  local s = signature(sig)
  for _, lists in ipairs({ s.c or {}, s.p or {} }) do
    for _, lane in ipairs(lists) do
      if lane == A.to then return true end
    end
  end
  return false
end

-- How many average calls of a lane its keys take now, as far as windows say; no more than `most` each.
local function takes_now(l, c, class, most)
  local p, sum = read_pace(deployment_of(l.name)), 0
  local out = math.max(p.out, 0)
  local each = { i = math.max(p['in'], 0), o = out, m = out, a = math.max(p.audio, 0) }
  for _, cred in ipairs(c.creds) do
    local shut = #cred.win == 0 or resting(l.name, cred) > NOW or crowded(l.name, cred, class)
    local room = shut and 0 or most
    for _, w in ipairs(cred.win) do
      local amount = Q.amount(w, each)
      if amount > 0 then room = math.min(room, math.floor(Q.free(w) / amount)) end
    end
    sum = sum + room
  end
  return sum
end

-- The free lane that can start a job now, together with all that stands before it there: windows are
-- reckoned with average calls, and what is too little for one of those may do for this one; and what a
-- plan reckoned to be started by now may still wait for a worker's turn. The next job sees what is left.
local TRIES = 16
local tried = {}
local function free_now(h)
  local class = tonumber(h.priority)
  for _, name in ipairs(not h.spared and signature(h.sig).c or {}) do
    local l, c, ahead = lane_of(name), config(name), 0
    for k = 0, class do ahead = ahead + l['n' .. k] end
    tried[name] = tried[name] or 0
    if c and not c.free and not l.full and l.reason ~= 'cooldown' and tried[name] < TRIES then
      tried[name] = tried[name] + 1
      if fit(l, c, need_of(h.need), class) and (ahead == 0 or takes_now(l, c, class, ahead + 1) > ahead) then
        unpark(l)
        return name
      end
    end
  end
end

local moved = 0
local function shift(id)
  local h = job_of(id)
  if h.status ~= 'queued' or h.lane == A.to or h.lead then return false end
  if not A.ids and (A.sig and h.sig ~= A.sig or not may(h.sig)) then return false end
  local due, from = h.due, h.lane
  local where = pull(id, h)
  if not where then return false end
  local free = A.pays and where == 'lane' and free_now(h)
  local to, reason = free or A.to, free and 'room' or A.reason or 'moved'
  call('HSET', job_key(id), 'lane', to, unpack(free and { 'spared', 1 } or {}))
  if to ~= from then event(id, h.watch, 'job.moved', cjson.encode({ from = from, to = to, reason = reason })) end
  if where == 'delay' then wait_until(id, to, tonumber(due))
  elseif where == 'quarantine' then call('ZADD', P .. 'quarantine', h.score, id)
  else enter(id, to, h) end
  moved = moved + 1
  return true
end

-- Moves up to 16 jobs of one tenant; false where it has no more to look at.
local function take_some(q, at)
  local room = math.min(16, A.most - moved)
  local ids
  if A.due then ids = call('ZRANGEBYSCORE', q, '(' .. (A.after or 0), A.due, 'LIMIT', at.skip, room)
  else ids = call('ZREVRANGE', q, at.skip, at.skip + room - 1) end
  for _, id in ipairs(ids) do
    at.looked = at.looked + 1
    if not shift(id) then at.skip = at.skip + 1 end
  end
  return #ids == room
end

local function carry_out()
  moved = 0
  for _, id in ipairs(A.ids or {}) do shift(id) end
  local looked = 0
  for _, class in ipairs(A.ids and {} or A.class and { A.class } or { 2, 1, 0 }) do
    local tenants = {}
    for _, tenant in ipairs(call('ZREVRANGE', P .. 'ring:' .. A.from .. ':' .. class, 0, 63)) do
      tenants[#tenants + 1] = { q = P .. 'q:' .. A.from .. ':' .. class .. ':' .. tenant, skip = 0, looked = 0 }
    end
    local busy = true
    while busy and moved < A.most and looked < A.most * 4 + 64 do
      busy = false
      for _, at in ipairs(tenants) do
        local before = at.looked
        if not at.over and moved < A.most then
          at.over = not take_some(at.q, at)
          busy = busy or not at.over
        end
        looked = looked + at.looked - before
      end
    end
  end
  return moved
end

local given, done = A.moves, {}
for i, one in ipairs(given or { A }) do
  A = one
  done[i] = carry_out()
end
flush()
return given and done or done[1]
