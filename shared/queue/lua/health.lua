-- uses: prelude lanes quota accepting claiming
-- Sets one credential aside, or takes it back: what a test or an edit found, outside of any job.
-- ARGS[1]: {cred, dead: reason or nil, all: also where it rests on single lanes, lanes: only where it
-- rests on these}
-- Returns the number of lanes that opened or closed by it.
-- Promises: one atomic step; without `dead` every rest of the whole credential ends, and with `all`
-- those on its lanes; a lane whose last credential rests is parked, one that has one awake is open.
local id, changed = A.cred, 0
if A.dead then
  call('HSET', P .. 'cool', 'c:' .. id, '9000000000000000|' .. A.dead)
  announce('died', id)
elseif not A.lanes then
  call('HDEL', P .. 'cool', 'c:' .. id)
end
local tail = '|' .. id
for _, scope in ipairs(A.all and call('HKEYS', P .. 'cool') or {}) do  -- also of lanes that have gone
  if string.sub(scope, 1, 2) == 'l:' and string.sub(scope, -#tail) == tail then call('HDEL', P .. 'cool', scope) end
end
for _, name in ipairs(A.lanes or {}) do call('HDEL', P .. 'cool', 'l:' .. name .. tail) end
COOL = nil

local function holds(c)
  for _, cred in ipairs(c and c.creds or {}) do
    if cred.id == id then return true end
  end
end

for _, name in ipairs(A.lanes or call('HKEYS', P .. 'cfg')) do
  if holds(config(name)) then
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
