-- Library: the books. What was used, by whom and where, day by day, and how each deployment answers.
--
-- usage:<day> hash "<tenant>|<deployment>" -> calls,done,free,unpriced,input,output,cached,audio,cost,saved,
--     shared,kept,spared
--   day: days since 1970, UTC; money in microusd, saved: what free calls would cost by the list; shared and
--   kept: answers of another job's call, while it ran and after it; spared: what they would cost by the list.
--   Kept for set:usage_ms. Beyond ROWS_A_DAY rows further tenants of that day are one, "*".
-- spent:<day> string microusd of the day over all tenants
-- pace hash deployment -> n,first,each,total,share,share_dev,out,out_dev,cost,in,audio,held,inputs: moving means of answered
--   calls (shared/core/pace.py): ms to the first token, microseconds a further token, ms in all, output
--   tokens in thousandths of what was asked, output tokens, microusd, input tokens, seconds of audio, ms from claim to finish, texts to embed (from the first batch of several on); _dev: mean deviations.

local ROWS_A_DAY, NAMES = 20000, { 'n', 'first', 'each', 'total', 'share', 'share_dev', 'out', 'out_dev', 'cost', 'in', 'audio', 'held', 'inputs' }
local BOOKED, PACES, SPENT
fresh[#fresh + 1] = function() BOOKED, PACES, SPENT = {}, {}, 0 end

local function numbers(text, most, missing)
  local found = {}
  for n in string.gmatch(text or '', '[^,]+') do found[#found + 1] = tonumber(n) end
  for i = #found + 1, most do found[i] = missing end
  return found
end

local function read_pace(deployment)
  local p, known = {}, numbers(call('HGET', P .. 'pace', deployment), #NAMES, -1)
  for i, name in ipairs(NAMES) do p[name] = known[i] end
  return p
end

local function pace_of(deployment)
  local p = PACES[deployment]
  if not p then
    p = read_pace(deployment)
    p.n = math.max(p.n, 0)
    PACES[deployment] = p
  end
  return p
end

-- A moving mean: of all while they are few, then the last weighs a tenth. Below 0: none yet.
local function blend(p, name, value)
  if p[name] < 0 then p[name] = value
  else p[name] = p[name] + (value - p[name]) / math.min(p.n, 10) end
end

local function measure(deployment, used, m, inputs)
  local p = pace_of(deployment)
  p.n = math.min(p.n + 1, 1000000)
  if m.f then blend(p, 'first', m.f) end
  blend(p, 'total', m.t)
  if m.h then blend(p, 'held', math.max(m.t, NOW - m.h)) end
  if m.l then blend(p, 'cost', m.l) end
  blend(p, 'in', used.i)
  if inputs > 1 or p.inputs >= 0 then blend(p, 'inputs', inputs) end
  if used.a > 0 then blend(p, 'audio', used.a) end
  if used.o <= 0 then return end
  blend(p, 'each', math.max(0, m.t - (m.f or math.max(p.first, 0))) * 1000 / used.o)
  if p.out >= 0 then blend(p, 'out_dev', math.abs(used.o - p.out)) end
  blend(p, 'out', used.o)
  if m.a and m.a > 0 then
    local share = math.min(1000, used.o * 1000 / m.a)
    if p.share >= 0 then blend(p, 'share_dev', math.abs(share - p.share)) end
    blend(p, 'share', share)
  end
end

local function booked(tenant, deployment)
  local name = tenant .. '|' .. deployment
  BOOKED[name] = BOOKED[name] or { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  return BOOKED[name]
end

-- Books an answer that took no call of its own: shared while that call ran, or kept.
local function spare(tenant, lane, kept, worth)
  local row = booked(tenant, deployment_of(lane))
  row[kept and 12 or 11] = row[kept and 12 or 11] + 1
  row[13] = row[13] + tonumber(worth or '0')
end

-- Books one report: a call that reached its provider. `r` is a finish of tick.lua; inputs: the texts of the job.
local function tally(h, r, inputs)
  local m = r.m
  if not r.reached or not m then return end
  local deployment, done = deployment_of(h.lane), r.verdict == 'complete'
  local row, used, cost = booked(h.tenant, deployment), r.used or { i = 0, o = 0, a = 0 }, r.cost or 0
  row[1], row[5], row[6], row[7] = row[1] + 1, row[5] + used.i, row[6] + used.o, row[7] + (m.c or 0)
  row[8], row[9] = row[8] + used.a, row[9] + cost
  SPENT = SPENT + cost
  if not done then return end
  row[2] = row[2] + 1
  if m.free then row[3], row[10] = row[3] + 1, row[10] + (m.l or 0)
  elseif not m.l then row[4] = row[4] + 1 end
  if r.used then measure(deployment, used, m, inputs) end
end

-- The first money of a day, and four fifths of its cap, are told to the scheduler.
local function spend(day)
  local total, cap = call('INCRBY', P .. 'spent:' .. day, string.format('%.0f', SPENT)), settings('paid_cap_microusd', '-1')
  local before, near = total - SPENT, cap * 0.8
  call('PEXPIRE', P .. 'spent:' .. day, settings('usage_ms', '7948800000'))
  if before <= 0 or cap >= 0 and before < near and total >= near then announce('spending', '') end
end

later[#later + 1] = function()
  local day = string.format('%.0f', math.floor(NOW / 86400000))
  local key, lines = P .. 'usage:' .. day, {}
  for name, row in pairs(BOOKED) do
    local old = call('HGET', key, name)
    if not old and call('HLEN', key) >= ROWS_A_DAY then
      name = '*' .. string.match(name, '|.*$')
      old = call('HGET', key, name)
    end
    if old then
      for i, n in ipairs(numbers(old, #row, 0)) do row[i] = row[i] + n end
    end
    for i, n in ipairs(row) do lines[i] = string.format('%.0f', n) end
    call('HSET', key, name, table.concat(lines, ','))
    if not old then call('PEXPIRE', key, settings('usage_ms', '7948800000')) end
  end
  for deployment, p in pairs(PACES) do
    for i, name in ipairs(NAMES) do lines[i] = string.format('%.1f', p[name]) end
    call('HSET', P .. 'pace', deployment, table.concat(lines, ',', 1, #NAMES))
  end
  if SPENT > 0 then spend(day) end
end
