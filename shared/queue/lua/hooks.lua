-- Library: what tells the outside of a job's end. For every endpoint that asked for it a job of our own
-- is written by the very call that ends the job: no end is untold, and none is told of that was not.
--
-- hooked:<tenant> hash endpoint id -> " type type … ": what each endpoint that is not disabled asked for
-- hooks:<tenant> hash endpoint id -> JSON: the endpoints (hook.lua writes, shared/store/hooks.py reads)
-- told:<job or batch> list of the ids of the jobs that tell of it, the last TOLD of them
-- job hash `as`: 'response' where it is told of as one too (`response.completed`, resp_…)
-- job hash `hook`: the job's own, JSON {id, types " type type … ", url, secrets}: secrets sign instead
--   of the endpoint's where there are any
--
-- A telling job is a dramatiq message for workers/webhooks.py, in the ring of its job's tenant.

local HOOKED
fresh[#fresh + 1] = function() HOOKED = {} end
local HOOK_LANE, HOOK_SIG, TOLD = 'own/webhooks@shared', 'webhooks', 24

local function hooked(tenant)
  HOOKED[tenant] = HOOKED[tenant] or pairs_of(call('HGETALL', P .. 'hooked:' .. tenant))
  return HOOKED[tenant]
end

-- One telling job. `seed` tells this happening from any other: what is repeated keeps its ids.
local function tell_endpoint(tenant, weight, endpoint, own, kind, data, seed)
  local digest = redis.sha1hex(seed .. '\n' .. endpoint)
  local id, now = 'job_' .. string.sub(digest, 1, 24), string.format('%.0f', NOW)
  local event = '{"id":"evt_' .. string.sub(digest, 1, 32) .. '","type":"' .. kind .. '","created_at":'
    .. string.format('%.0f', math.floor(NOW / 1000)) .. ',"data":' .. data .. '}'
  local doc = '{"queue_name":"webhooks","actor_name":"deliver_webhook","args":[],"kwargs":{"tenant":' .. cjson.encode(tenant)
    .. ',"endpoint":"' .. endpoint .. '","own":' .. (own or 'null') .. ',"event":' .. event .. '},"options":{},"message_id":"'
    .. id .. '","message_timestamp":' .. now .. '}'
  learn_signatures({ [HOOK_SIG] = { c = { HOOK_LANE } } })
  accept({ id = id, tenant = 'webhooks~' .. tenant, kind = 'task', priority = 1, lane = HOOK_LANE, sig = HOOK_SIG,
    need = '0,0,0,0', weight = tonumber(weight or '1') }, doc, true)
  return id
end

local function wants(types, kind) return string.find(types, ' ' .. kind .. ' ', 1, true) ~= nil end

-- Tells every endpoint of the tenant that asked for it, and the job's own; returns the telling jobs.
local function tell_all(tenant, weight, own, kind, data, seed)
  local ids, mine = {}, own and cjson.decode(own)
  if mine and wants(mine.types, kind) then
    ids[1] = tell_endpoint(tenant, weight, mine.id, own, kind, data, seed)
  end
  for endpoint, types in pairs(hooked(tenant)) do
    if wants(types, kind) and not (ids[1] and mine and endpoint == mine.id) then
      ids[#ids + 1] = tell_endpoint(tenant, weight, endpoint, nil, kind, data, seed)
    end
  end
  return ids
end

-- OpenAI's objects know no `expired` but for batches.
local AS = { response = { prefix = 'resp', completed = 'completed', failed = 'failed', cancelled = 'cancelled', expired = 'failed' } }

-- Whether a chat's answer was cut short: a response is then incomplete. Quotes inside a JSON text are
-- escaped, so no answer can say so of itself.
local function cut_short(outcome)
  local reason = string.match(outcome or '', '"finish_reason"%s*:%s*"([%a_]*)"')
  return reason == 'length' or reason == 'content_filter'
end

local function kind_as(e)
  local word = AS[e.h.as][e.status]
  return e.h.as .. '.' .. (word == 'completed' and cut_short(e.outcome) and 'incomplete' or word)
end

-- The lines of a batch are told of by their batch (batch_change.lua), children by their parent.
local function tell_of(e)
  if e.h.batch or e.h.parent then return {} end
  if not e.h.hook and not next(hooked(e.h.tenant)) then return {} end
  local h, seed = e.h, e.id .. '\n' .. e.n .. '\n' .. NOW
  local data = '{"id":' .. cjson.encode(e.id) .. ',"object":"job","kind":"' .. h.kind .. '","status":"' .. e.status .. '"}'
  local ids = tell_all(h.tenant, h.weight, h.hook, 'job.' .. e.status, data, seed)
  if AS[h.as] then
    data = '{"id":' .. cjson.encode(AS[h.as].prefix .. string.match(e.id, '_.*$')) .. '}'
    for _, id in ipairs(tell_all(h.tenant, h.weight, nil, kind_as(e), data, seed .. h.as)) do
      ids[#ids + 1] = id
    end
  end
  return ids
end

local function note_told(id, ids)
  if #ids == 0 then return end
  local key = P .. 'told:' .. id
  call('RPUSH', key, unpack(ids))
  call('LTRIM', key, -TOLD, -1)
  call('PEXPIRE', key, settings('retention_ms', '259200000'))
end

later[#later + 1] = function()
  for _, e in ipairs(ENDED) do note_told(e.id, tell_of(e)) end
end
