-- uses: prelude
-- Registers an inbox as a watcher of a job and returns the events it has not seen, in one step.
-- ARGS[1]: {id, tenant (nil: any), inbox (nil: only read), after: last event id seen, most}
-- Returns nil where the tenant has no such job, else [status, first event id, [events as "type\ndata"],
-- told]. Promises: where told is 1, every event after those returned is published to the inbox; 0 where
-- 16 living inboxes watch the job already: ask again.
local h = call('HMGET', job_key(A.id), 'tenant', 'status', 'watch')
if not h[2] or (A.tenant and h[1] ~= A.tenant) then return false end
local final = h[2] ~= 'queued' and h[2] ~= 'in_progress'
local told = 1
if A.inbox and not final then
  local names, there = {}, false
  for name in string.gmatch(h[3] or '', '[^,]+') do
    names[#names + 1] = name
    if name == A.inbox then there = true end
  end
  if not there and #names >= 16 then  -- processes that are gone make room
    local living = {}
    for _, name in ipairs(names) do
      if call('PUBSUB', 'NUMSUB', P .. 'inbox:' .. string.gsub(name, '^!', ''))[2] > 0 then living[#living + 1] = name end
    end
    names = living
  end
  if not there and #names < 16 then
    names[#names + 1] = A.inbox
    call('HSET', job_key(A.id), 'watch', table.concat(names, ','))
  elseif not there then
    told = 0
  end
end
return { h[2], A.after + 1, call('LRANGE', P .. 'ev:' .. A.id, A.after, A.after + A.most - 1), told }
