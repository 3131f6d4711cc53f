-- uses: prelude lanes quota accepting hooks claiming usage sharing
-- Takes queued jobs off lanes that nobody serves any more: to the first candidate that is served, free
-- ones first; else, once the lane has been unserved for `unserved_ms`, they fail and say why.
-- ARGS[1]: {most, fence: the leader's; an older one than the newest seen is refused}
-- Returns [moved, failed, ms until the next may fail (-1: none waits), more (0|1)].
-- Promises: one atomic step; at most `most` jobs; their scores are kept; a lane that is served again
-- leaves the list. Jobs in the delays come here when they are due.
if A.fence then
  local seen = tonumber(call('GET', P .. 'leader:fence') or '0')
  if A.fence < seen then return redis.error_reply('STALE a newer leader acts') end
end
local GONE = '{"message":"the credentials or the model it was queued for were taken away, and no other'
  .. ' candidate of it is served; add one and replay the job","type":"server_error","param":null,'
  .. '"code":"no_credential","status":503}'
local moved, failed, looked = 0, 0, 0

local function served(sig)
  local s = signature(sig)
  for _, lanes in ipairs({ s.c, s.p }) do
    for _, name in ipairs(lanes) do
      if config(name) then return name end
    end
  end
end

-- One job: gone from the lane, or left where it may not fail yet. A suspect stays in quarantine,
-- on another lane.
local function take(id, name, old, suspect)
  local h = job_of(id)
  local to = h.sig and served(h.sig)
  if not h.tenant or not (to or old) then return false end
  if not suspect and not leave(id, name, h) then return false end
  if to then
    call('HSET', job_key(id), 'lane', to)
    event(id, h.watch, 'job.moved', cjson.encode({ from = name, to = to, reason = 'unserved' }))
    if not suspect then enter(id, to, h) end
    moved = moved + 1
  else
    if suspect then call('ZREM', P .. 'quarantine', id) end
    call('ZADD', P .. 'dead', NOW, id)
    conclude(id, h, 'failed', nil, 'E' .. GONE, '{}', GONE)
    failed = failed + 1
  end
  return true
end

local function drain(name, old)
  for class = 0, 2 do
    for _, tenant in ipairs(call('ZRANGE', P .. 'ring:' .. name .. ':' .. class, 0, 63)) do
      local q, skip = P .. 'q:' .. name .. ':' .. class .. ':' .. tenant, 0
      while looked < A.most do
        local ids = call('ZRANGE', q, skip, skip + math.min(15, A.most - looked - 1))
        if #ids == 0 then break end
        for _, id in ipairs(ids) do
          looked = looked + 1
          if not take(id, name, old) then skip = skip + 1 end
        end
      end
    end
  end
end

-- lane -> its jobs in quarantine, of the first thousand there
local suspects = {}
for _, id in ipairs(call('ZRANGE', P .. 'quarantine', 0, 999)) do
  local name = call('HGET', job_key(id), 'lane') or ''
  suspects[name] = suspects[name] or {}
  table.insert(suspects[name], id)
end

local function drain_quarantine(name, old)
  local left = {}
  for _, id in ipairs(suspects[name] or {}) do
    if looked >= A.most or not take(id, name, old, true) then left[#left + 1] = id end
    looked = looked + 1
  end
  suspects[name] = #left > 0 and left or nil
end

local wait = -1
local grace = settings('unserved_ms', '10000')
local rows = call('ZRANGE', P .. 'unserved', 0, 63, 'WITHSCORES')
for i = 1, #rows, 2 do
  local name, l = rows[i], lane_of(rows[i])
  if looked >= A.most then break end
  local due = tonumber(rows[i + 1]) + grace
  if not config(name) then
    if queued(l) > 0 then drain(name, due <= NOW) end
    drain_quarantine(name, due <= NOW)
  end
  if config(name) or queued(l) == 0 and not suspects[name] then
    call('ZREM', P .. 'unserved', name)
    if l.reason == 'unserved' then unpark(l) end
  elseif due > NOW then
    wait = wait < 0 and due - NOW or math.min(wait, due - NOW)
  end
end
flush()
return { moved, failed, string.format('%.0f', wait), looked >= A.most and moved + failed > 0 and 1 or 0 }
