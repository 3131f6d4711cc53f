-- uses: prelude lanes quota accepting hooks claiming usage sharing finishing
-- Cancels jobs: final at once, whatever they were doing; the worker that holds one is told to stop
-- and its late finish is stale. ARGS[1]: {ids, tenant (nil: any), reason}
-- Returns a list with 'cancelled', 'final' (ended before: unchanged) or 'unknown' for each id.
local out = {}
for i, id in ipairs(A.ids) do
  local h = job_of(id)
  if not h.status or (A.tenant and h.tenant ~= A.tenant) then
    out[i] = 'unknown'
  elseif h.status ~= 'queued' and h.status ~= 'in_progress' then
    out[i] = 'final'
  else
    end_now(id, h, 'cancelled', nil, cjson.encode({ reason = A.reason or 'cancelled' }))
    out[i] = 'cancelled'
  end
end
flush()
return out
