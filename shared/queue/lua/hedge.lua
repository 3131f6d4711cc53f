-- uses: prelude lanes quota accepting claiming usage finishing
-- Reserves a second call for a running job, on another lane with room to spare. One atomic step.
-- ARGS[1]: {worker, id, fence, lanes: [in order of preference], providers: [whom this worker serves]}
-- Returns [lane, credential, now] or nil: no longer this worker's, hedged already, or nowhere is room.
-- Promises: quota and concurrency of the second credential are reserved and counted like a claim's; the
-- job's end frees them, however it comes (release in finishing.lua). Nothing that waits is overtaken.
-- job hash hedge: "<lane>\n<credential>\n<reserved ms>"
local h = job_of(A.id)
if h.status ~= 'in_progress' or h.worker ~= A.worker or tonumber(h.fence) ~= A.fence or h.hedge or h.suspect then
  return nil
end
local mine, need, class = {}, need_of(h.need), tonumber(h.priority)
for _, p in ipairs(A.providers) do mine[p] = true end
for _, name in ipairs(A.lanes) do
  local c = name ~= h.lane and mine[provider_of(name)] and config(name)
  local l = c and not c.free and lane_of(name)
  local cred = l and open(l) and queued(l) == 0 and fit(l, c, need, class)
  if cred then
    put(l, 'run', l.run + 1)
    put(l, 'claims', l.claims + 1)
    bump('run', name .. '|' .. cred.id, 1)
    for _, w in ipairs(cred.win) do Q.take(w, Q.amount(w, need)) end
    if cred.seen then Q.take(cred.log, 1) end
    local now = string.format('%.0f', NOW)
    call('HSET', job_key(A.id), 'hedge', name .. '\n' .. cred.id .. '\n' .. now)
    flush()
    return { name, cred.id, now }
  end
end
return nil
