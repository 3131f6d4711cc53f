-- uses: prelude lanes
-- Moves waiting jobs to another lane; a running job is never moved. Their order is kept.
-- ARGV[1]: {to, reason, ids} or {to, reason, from, class (nil: all, most urgent last), most, fence}
-- `fence`: the leader's; an older one than the newest seen is refused.
-- Returns the number of jobs moved. A lane move takes only jobs that list `to` as a candidate.
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
local moved = 0
local function shift(id)
  local h = place(id)
  if not h or h.status ~= 'queued' or h.lane == A.to or (not A.ids and not may(h.sig)) then return end
  local due, from = h.due, h.lane
  if not pull(id, h) then return end
  call('HSET', job_key(id), 'lane', A.to)
  event(id, h.watch, 'job.moved', cjson.encode({ from = from, to = A.to, reason = A.reason or 'moved' }))
  if due then wait_until(id, A.to, tonumber(due)) else enter(id, A.to, h) end
  moved = moved + 1
end
if A.ids then
  for _, id in ipairs(A.ids) do shift(id) end
  flush()
  return moved
end
local classes = A.class and { A.class } or { 2, 1, 0 }
local looked = 0
for _, class in ipairs(classes) do
  for _, tenant in ipairs(call('ZRANGE', P .. 'ring:' .. A.from .. ':' .. class, 0, 63)) do
    local q = P .. 'q:' .. A.from .. ':' .. class .. ':' .. tenant
    local start = 0
    while moved < A.most and looked < A.most * 4 + 64 do
      local ids = call('ZRANGE', q, start, start + 63)
      if #ids == 0 then break end
      local before = moved
      for _, id in ipairs(ids) do
        looked = looked + 1
        if moved < A.most then shift(id) end
      end
      start = start + #ids - (moved - before)
    end
  end
end
flush()
return moved
