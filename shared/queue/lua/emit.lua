-- uses: prelude
-- Appends events of attempts in progress (deltas), fenced.
-- ARGS[1]: {worker, jobs: [{id, fence, n, first}]}; then n pairs (type, data) for each, in order.
-- `first` is the place of the first of them among this attempt's events, from 0: repeating a call
-- whose reply was lost adds nothing. What a first step says of its progress is also kept with the
-- job, for who asks before that step ends. Returns the ids that are no longer this worker's.
local k, stale = 2, {}
for _, j in ipairs(A.jobs) do
  local h = call('HMGET', job_key(j.id), 'fence', 'worker', 'status', 'streamed', 'watch')
  if tonumber(h[1]) == j.fence and h[2] == A.worker and h[3] == 'in_progress' then
    local fence, done = string.match(h[4] or '', '^(%d+):(%d+)$')
    done = tonumber(fence) == j.fence and tonumber(done) or 0
    for i = 0, j.n - 1 do
      if j.first + i >= done then event(j.id, h[5], ARGS[k], ARGS[k + 1]) end
      if ARGS[k] == 'job.progress' then call('HSET', job_key(j.id), 'begun', ARGS[k + 1]) end
      k = k + 2
    end
    call('HSET', job_key(j.id), 'streamed', j.fence .. ':' .. math.max(done, j.first + j.n))
  else
    stale[#stale + 1] = j.id
    k = k + 2 * j.n
  end
end
return stale
