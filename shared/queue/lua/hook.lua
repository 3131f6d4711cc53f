-- uses: prelude
-- Writes, changes or removes an endpoint that is told of ends. ARGS[1]: {tenant, id, was: JSON (nil: there
-- is none), now: JSON (nil: remove), types: " type type … " (nil: it asks for nothing by itself), most
-- (endpoints), asking (endpoints with types: each of them is a job more at every end)}
-- Returns 'done', 'changed' (another than `was` stands there: nothing was written) or 'full'.
local rows, asks = P .. 'hooks:' .. A.tenant, P .. 'hooked:' .. A.tenant
local stands = call('HGET', rows, A.id) or nil
if stands ~= A.was then return 'changed' end
if not stands and A.now and call('HLEN', rows) >= A.most then return 'full' end
if A.now and A.types and call('HEXISTS', asks, A.id) == 0 and call('HLEN', asks) >= A.asking then return 'full' end
if A.now then call('HSET', rows, A.id, A.now) else call('HDEL', rows, A.id) end
if A.now and A.types then call('HSET', asks, A.id, A.types) else call('HDEL', asks, A.id) end
return 'done'
