-- uses: prelude lanes quota accepting hooks claiming usage sharing finishing
-- Ends jobs whose wait limit or deadline has passed. ARGS[1]: {most}
-- Returns [now, ended, the moment to look again (ms)]: the next limit, an hour on at most. accept
-- announces only a limit before that moment. Only queued jobs have a wait limit.
local WAITED = 'E{"message":"the job did not start within max_wait_s; give it a larger max_wait_s","type":"timeout_error","code":"max_wait_exceeded"}'
local ended = 0
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'limits', '-inf', NOW, 'LIMIT', 0, A.most)) do
  local h = job_of(id)
  local late = h.deadline and tonumber(h.deadline) <= NOW
  local waited = h.status == 'queued' and h.start_by and tonumber(h.start_by) <= NOW and not equals.started(h)
  if h.status ~= 'queued' and h.status ~= 'in_progress' then
    call('ZREM', P .. 'limits', id)
  elseif late or waited then
    end_now(id, h, 'expired', late and LATE or WAITED, cjson.encode({ reason = late and 'deadline' or 'max_wait' }))
    ended = ended + 1
  elseif h.deadline then
    call('ZADD', P .. 'limits', h.deadline, id)
  else
    call('ZREM', P .. 'limits', id)
  end
end
flush()
local first = tonumber(call('ZRANGE', P .. 'limits', 0, 0, 'WITHSCORES')[2] or math.huge)
local again = string.format('%.0f', math.min(first, NOW + 3600000))
call('SET', P .. 'armed', again)
return { string.format('%.0f', NOW), ended, again }
