-- uses: prelude lanes
-- Why a queued job waits: its lane, and how many stand before it. ARGS[1]: {id, lane, class, tenant}
-- Returns [parked (ms, 0 not), reason, window, full (0|1), run, n0, n1, n2,
--   jobs of its tenant and class before it (-1: it is not in the lane), tenants of its class, live workers]
-- Promises: writes nothing.
local l = lane_of(A.lane)
local at = A.lane .. ':' .. A.class
local place = call('ZRANK', P .. 'q:' .. at .. ':' .. A.tenant, A.id) or -1
return { string.format('%.0f', l.parked or 0), l.reason or '', l.window or '', l.full and 1 or 0,
  l.run, l.n0, l.n1, l.n2, place, call('ZCARD', P .. 'ring:' .. at), living(l.provider) }
