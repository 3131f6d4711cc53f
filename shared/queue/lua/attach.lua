-- uses: prelude
-- Registers an inbox as a watcher of a job and returns the events it has not seen, in one step.
-- ARGV[1]: {id, tenant (nil: any), inbox (nil: only read), after: last event id seen, most}
-- Returns nil where the tenant has no such job, else [status, first event id, [events as "type\ndata"]].
-- Promises: every event after those returned is published to the inbox. At most 16 inboxes a job.
local h = call('HMGET', job_key(A.id), 'tenant', 'status', 'watch')
if not h[2] or (A.tenant and h[1] ~= A.tenant) then return false end
local final = h[2] ~= 'queued' and h[2] ~= 'in_progress'
if A.inbox and not final then
  local names, n, there = {}, 0, false
  for name in string.gmatch(h[3] or '', '[^,]+') do
    n = n + 1
    names[n] = name
    if name == A.inbox then there = true end
  end
  if not there then
    if n >= 16 then table.remove(names, 1) end
    names[#names + 1] = A.inbox
    call('HSET', job_key(A.id), 'watch', table.concat(names, ','))
  end
end
return { h[2], A.after + 1, call('LRANGE', P .. 'ev:' .. A.id, A.after, A.after + A.most - 1) }
