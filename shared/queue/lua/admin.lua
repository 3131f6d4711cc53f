-- uses: prelude
-- Writes one row of what is administered, by compare-and-set, and tells every process.
-- ARGS[1]: {noun: credentials|providers|apikeys|plans|organisations, id, was (text, nil: none there), now (text, nil:
-- it goes), most: rows of a noun}
-- Returns 'done', 'changed' (another row than `was` stands there) or 'full'.
-- Promises: one atomic step; `admin:version` counts the changes.
-- credentials hash id -> JSON with the sealed secret; providers hash name -> JSON of a ProviderDoc;
-- apikeys hash id -> JSON with the digest; plans hash credential -> its plan, as detected;
-- organisations hash credential -> "<source> <organisation>", as its provider told.
local key = P .. A.noun
local there = call('HGET', key, A.id) or nil
if there ~= A.was then return 'changed' end
if not A.now then
  call('HDEL', key, A.id)
elseif not there and call('HLEN', key) >= A.most then
  return 'full'
else
  call('HSET', key, A.id, A.now)
end
call('INCR', P .. 'admin:version')
call('PUBLISH', P .. 'admin', A.noun)
return 'done'
