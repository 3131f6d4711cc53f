-- uses: prelude lanes quota accepting claiming
-- What every lane looks like now. ARGS[1]: {lanes (nil: all configured), windows: bool}
-- groups: bool, the scheduler's own reading: when its next was to be is forgotten (lanes.lua, look)
-- Returns JSON {now, alive, full_at, lanes: {lane: {n, by: [n0,n1,n2], run, parked, reason, window, class,
--   full, workers, last, creds: [{id, rest, rest_reason, run, conc, win: [{n,l,o,x,used,free,reset,next}]}],
--   grp}}}. next (ms): when a window that has nothing left has one again
local out = { now = NOW, alive = tonumber(call('GET', P .. 'alive') or '0'), lanes = {} }
local lanes = A.lanes or call('HKEYS', P .. 'cfg')
for _, lane in ipairs(lanes) do
  local l = lane_of(lane)
  local v = { n = queued(l), by = { l.n0, l.n1, l.n2 }, run = l.run, parked = l.parked or 0, reason = l.reason or '',
    window = l.window or '', class = l.class, full = l.full ~= nil, workers = living(l.provider), last = l.last, creds = {} }
  local c = config(lane)
  for i, cred in ipairs(c and c.creds or {}) do
    local e = { id = cred.id, rest = resting(lane, cred), conc = cred.conc,
      run = counter('run', lane .. '|' .. cred.id) }
    if A.windows then
      e.win = {}
      for k, w in ipairs(cred.win) do
        local used, free, reset = Q.view(w)
        local row = { n = w.n, d = w.d, l = w.l, s = w.s, t = w.t, o = w.o, x = w.x, used = used, free = free, reset = reset }
        if free < 1 and w.l > 0 then row.next = Q.earliest(w, 1, 0) end
        e.win[k] = row
      end
    end
    v.creds[i] = e
  end
  if A.groups and v.n > 0 then
    v.grp = {}
    local g = call('HGETALL', P .. 'grp:' .. lane)
    for i = 1, #g, 2 do v.grp[g[i]] = tonumber(g[i + 1]) end
  end
  out.lanes[lane] = v
end
if A.groups then call('HDEL', P .. 'look', 'at') end
return cjson.encode(out)
