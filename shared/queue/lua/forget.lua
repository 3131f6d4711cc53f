-- uses: prelude lanes
-- Removes all that is kept of an ended job. ARGS[1]: {id, tenant}
-- Returns 'forgotten', 'live' (it has not ended: nothing was removed) or 'unknown'.
local h = job_of(A.id)
if not h.status or h.tenant ~= A.tenant then return 'unknown' end
if h.status == 'queued' or h.status == 'in_progress' then return 'live' end
for _, noun in ipairs({ 'job:', 'doc:', 'res:', 'ev:', 'told:', 'kids:', 'state:' }) do call('DEL', P .. noun .. A.id) end
call('ZREM', P .. 'ix:' .. h.tenant .. ':' .. h.status, A.id)
call('ZREM', P .. 'dead', A.id)
bump('done', h.status, -1)
flush()
return 'forgotten'
