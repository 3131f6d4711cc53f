-- uses: prelude lanes quota accepting claiming
-- Sets one credential aside, or takes it back: what a test or an edit found, outside of any job.
-- ARGS[1]: {cred, dead: reason or nil, all: also where it rests on single lanes, lane: on this one only}
-- Returns the number of lanes that opened or closed by it.
-- Promises: one atomic step; without `dead` every rest of the whole credential ends, and with `all`
-- those on its lanes; with `lane` the rest on that lane ends, and no other; a lane whose last
-- credential rests is parked, one that has one awake is open.
local id, changed = A.cred, 0
if A.lane then
  call('HDEL', P .. 'cool', 'l:' .. A.lane .. '|' .. id)
elseif A.dead then
  call('HSET', P .. 'cool', 'c:' .. id, '9000000000000000|' .. A.dead)
  announce('died', id)
else
  call('HDEL', P .. 'cool', 'c:' .. id)
end
COOL = nil

local function holds(c)
  for _, cred in ipairs(c and c.creds or {}) do
    if cred.id == id then return true end
  end
end

for _, name in ipairs(A.lane and { A.lane } or call('HKEYS', P .. 'cfg')) do
  if holds(config(name)) then
    if A.all then
      call('HDEL', P .. 'cool', 'l:' .. name .. '|' .. id)
      if COOL then COOL['l:' .. name .. '|' .. id] = nil end
    end
    local l, at = lane_of(name), awake(name)
    if at > NOW and at < math.huge then
      if l.reason ~= 'cooldown' then
        changed = changed + 1
        park(l, at, 'cooldown', A.dead or '', 3)
        announce('cooled_down', name)
      end
    elseif l.reason == 'cooldown' then
      changed = changed + 1
      unpark(l)
      show(l)
      wake(l.provider)
      announce('recovered', name)
    end
  end
end
flush()
return changed
