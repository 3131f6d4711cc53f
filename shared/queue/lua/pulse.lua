-- uses: prelude
-- A worker's process says that it lives while its loop is too busy for a heartbeat.
-- ARGS[1]: {worker, lease_ms}
-- Returns 1 where the lease was renewed, 0 where it was refused: the worker has been declared dead.
-- Promises: makes nobody a worker; a worker whose jobs are being taken back stays dead (score 0, see
-- beat.lua) until its own loop speaks again; reaps nobody, and is no sign that the reapers live.
local till = tonumber(call('ZSCORE', P .. 'workers', A.worker) or '0')
if till <= 0 then return 0 end
call('ZADD', P .. 'workers', NOW + A.lease_ms, A.worker)
local holder = string.match(call('GET', P .. 'quarantined') or '', '^%S+')
if holder == A.worker then call('PEXPIRE', P .. 'quarantined', A.lease_ms * 4) end
return 1
