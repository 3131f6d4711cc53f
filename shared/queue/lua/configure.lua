-- uses: prelude lanes quota accepting claiming
-- Writes lane configurations and the settings scripts read. ARGS[1]: {lanes: {lane: {free, creds:
-- [{id, conc, win: [window spec of quota.lua]}], tiers (how many creds of one priority stand together;
-- nil: all)}}, drop: [lane], set: {name: value}, version}
-- Returns the number of lanes changed. A changed lane is looked at again at once, a resting one where
-- a credential of it does not rest; what waits on a dropped one is told to the scheduler.
local changed = 0
for name, value in pairs(A.set or {}) do call('HSET', P .. 'set', name, value) end
for lane, c in pairs(A.lanes or {}) do
  local text = type(c) == 'string' and c or cjson.encode(c)
  if call('HGET', P .. 'cfg', lane) ~= text then
    call('HSET', P .. 'cfg', lane, text)
    changed = changed + 1
    local l = lane_of(lane)
    CONFIGS[lane] = nil
    if l.reason ~= 'cooldown' or awake(lane) <= NOW then unpark(l) end
    unfill(l)
    show(l)
    wake(l.provider)
  end
end
for _, lane in ipairs(A.drop or {}) do
  changed = changed + call('HDEL', P .. 'cfg', lane)
  if queued(lane_of(lane)) > 0 then unserved(lane) end
end
if A.version then call('SET', P .. 'cfg:version', A.version) end
if changed > 0 then announce('configured', A.version or '') end
flush()
return changed
