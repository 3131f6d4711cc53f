-- Library: the ledger of one quota window of one credential. The same rules
-- in Python: shared/core/ledger*.py; tests/properties/test_quota_twins.py drives both.
--
-- w, a window spec (made by shared/core/quota.py window_spec, decoded from JSON):
--   k key suffix, unique for owner, deployment, dimension, kind, span and anchor; n name
--   d 'requests'|'tokens'|'input_tokens'|'output_tokens'|'audio_seconds'|'microusd'; c, f  which tokens
--     count, factor (of tokens of any kind)
--   pi, po (microusd) microusd per 1M tokens of input and of output, which is taken to be the most asked
--   x (requests) every input n of a need counts as one
--   l limit (integer >= 0); s span ms; t 'sliding'|'fixed'|'bucket'; g guard ms (< s/2)
--   a (fixed) 'first_use', or the offset in ms of window starts from multiples of the span
--   b, e (fixed, zones) the window that the spec was made in: days may have 23 or 25 hours
--
-- quota:<k> hash
--   sliding  t total; "<grain>" amount, grain = floor(ms / grain size), size = max(1, s / 1000)
--   fixed    "<window start ms>" amount: this window, and the next where an edge was in doubt
--   first_use  n amount; s, h the least and greatest start the provider's window may have;
--              z last stamp; f 1 where h is sure
--   bucket   v level (millionths of a unit; absent: full) at u (ms); p "ms:level,..." highest levels since, falling;
--              late "ms,ms,over" the stretch that calls were late in, what ran over the brim in it;
--              looks "n;ms:width:level,..." highest levels of n stretches, less what ran over since, oldest first
-- quotalog:<k> list  sliding: grains in order, oldest first
-- Both vanish when idle for two spans. Amounts are integers: up to 1e12 at once, buckets up to 9e9.
-- No figure that somebody told can spoil a ledger: a bucket owes ten bursts at most, whatever is
-- taken or stored, and a count above SPOILT, which nobody can have taken, begins anew.
--
-- Guard: a call counted at t reaches the provider in [t, t + g]. A lateness above g is restamped.
--   Q.amount(w, need)                 units that need {i o m a n} takes
--   Q.earliest(w, amount, keep)       first ms >= NOW when it fits and leaves `keep` free; -1: never.
--                                     keep is cut to what the limit leaves beside amount
--   Q.free(w)                         units that may be taken now, >= 0
--   Q.take(w, amount)                 reserves now, unasked
--   Q.settle(w, taken, reserved, actual)   corrects; nothing where the reservation has run out
--   Q.restamp(w, taken, sent, amount) it counts from `sent` (later than taken, at most NOW)
--   Q.slack(w, at, amount, keep)      units a later job may take now so that `amount` still fits at
--                                     `at`, leaving `keep` (default 0); Q.UNLIMITED where any may
--   Q.observe(w, used)                counts at least `used`; never lowers
--   Q.sent(w, from)                   (sliding) what was taken since, as {ms, amount}
--   Q.bring(from, w)                  takes in w what `from` has counted and still counts
--   Q.view(w)                         used, free, ms when all is free again (NOW where it is)
local Q = { UNLIMITED = 9007199254740991 }
do
  local floor, ceil, max, min
  local BATCH, MICRO, PEAKS, LOOKS, KEPT_LOOKS = 128, 1000000, 24, 32, 16
    local MOST, SPOILT, DEBT = 1e12, 1e15, 10
  local build, built = {}, {}  -- a kind's functions exist only where its windows are met
  local read  -- what this script has read: key -> state at NOW, kept true by every write below
  fresh[#fresh + 1] = function()  -- a library finds no `math` while it is loaded
    floor, ceil, max, min, read = math.floor, math.ceil, math.max, math.min, {}
  end

  local function int(n) return string.format('%.0f', n + 0) end
  local function key(w) return P .. 'quota:' .. w.k end
  local function log(w) return P .. 'quotalog:' .. w.k end
  local function within(n) return n >= 0 and min(n, MOST) or 0 end  -- NaN is none
  local function live(w, name) call('PEXPIRE', name, int(2 * w.s + 60000)) end

  -- Sliding: at most l in any span. A grain counts until its end + s + g.

  function build.sliding()
    local S = {}
    local function grain(w, ms) return floor(ms / max(1, floor(w.s / 1000))) end
    local function out_at(w, b) return (b + 1) * max(1, floor(w.s / 1000)) + w.s + w.g end

    -- The first grain, oldest first, with done(grain, sum of amounts up to it), and the sum before it.
    -- Grains are read once a script, a batch at a time, as far as anybody looked; `done` stays true.
    local function first(w, st, done)
      local bs, sums = st.bs or {}, st.sums or {}
      st.bs, st.sums = bs, sums
      while #bs == 0 or not done(bs[#bs], sums[#bs]) do
        local names = call('LRANGE', log(w), #bs, #bs + BATCH - 1)
        if #names == 0 then return nil, sums[#bs] or 0 end
        for i, amount in ipairs(call('HMGET', key(w), unpack(names))) do
          local n = #bs + 1
          bs[n], sums[n] = tonumber(names[i]), (sums[n - 1] or 0) + tonumber(amount or 0)
        end
      end
      local low, high = 1, #bs
      while low < high do
        local mid = floor((low + high) / 2)
        if done(bs[mid], sums[mid]) then high = mid else low = mid + 1 end
      end
      return bs[low], sums[low - 1] or 0
    end

    local function forget(w)
      local n = tonumber(call('HGET', key(w), 't') or 0)
      local head = call('LINDEX', log(w), 0)
      while head and out_at(w, tonumber(head)) <= NOW do
        local names, gone, freed = call('LRANGE', log(w), 0, BATCH - 1), {}, 0
        for _, name in ipairs(names) do
          if out_at(w, tonumber(name)) > NOW then break end
          gone[#gone + 1] = name
        end
        for _, amount in ipairs(call('HMGET', key(w), unpack(gone))) do freed = freed + tonumber(amount or 0) end
        call('HDEL', key(w), unpack(gone))
        call('LTRIM', log(w), #gone, -1)
        n = call('HINCRBY', key(w), 't', int(-freed))
        head = call('LINDEX', log(w), 0)
      end
      return n
    end

    function S.load(w)
      local n = forget(w)
      if n <= SPOILT then return { n = n } end
      call('DEL', key(w), log(w))
      return { n = 0 }
    end
    function S.used(w, st) return st.n end
    function S.free(w, st) return w.l - st.n end

    function S.earliest(w, st, need)
      local excess = st.n + need - w.l
      if excess <= 0 then return NOW end
      local b = first(w, st, function(_, sum) return sum >= excess end)
      return b and out_at(w, b) or S.reset(w)
    end

    -- Puts a grain that came late into its place in the list: steps of it, and it holds 2000 at most.
    local function insert(w, b)
      local i = -1
      while true do
        local name = call('LINDEX', log(w), i)
        if not name then return call('LPUSH', log(w), int(b)) end
        if tonumber(name) < b then return call('LINSERT', log(w), 'AFTER', name, int(b)) end
        i = i - 1
      end
    end

    local function change(w, st, b, amount)
      call('HINCRBY', key(w), int(b), int(amount))
      st.bs, st.sums = nil, nil
      st.n = call('HINCRBY', key(w), 't', int(amount))
    end

    function S.add(w, st, at, amount)
      local b = grain(w, at)
      if out_at(w, b) <= NOW then return end
      st.tail = st.tail or tonumber(call('LINDEX', log(w), -1) or -1)
      local fresh = b > st.tail
      if fresh then
        call('RPUSH', log(w), int(b))
        st.tail = b
      elseif b < st.tail and call('HEXISTS', key(w), int(b)) == 0 then
        insert(w, b)
      end
      change(w, st, b, amount)
      if fresh then
        live(w, key(w))
        live(w, log(w))
      end
    end

    function S.settle(w, st, taken, delta)
      local b = grain(w, taken)
      local counted = tonumber(call('HGET', key(w), int(b)) or -1)
      if counted >= 0 then change(w, st, b, max(delta, -counted)) end
    end

    function S.restamp(w, st, taken, sent, amount)
      if grain(w, taken) == grain(w, sent) then return end
      S.settle(w, st, taken, -amount)
      S.add(w, st, sent, amount)
    end

    function S.slack(w, st, at, need)
      if at >= out_at(w, grain(w, NOW)) then return Q.UNLIMITED end
      local _, freed = first(w, st, function(b) return out_at(w, b) > at end)
      return w.l - st.n + freed - need
    end

    function S.reset(w) return out_at(w, tonumber(call('LINDEX', log(w), -1) or grain(w, NOW))) end
    return S
  end

  -- Fixed: at most l between two edges. Nothing is sent within g of an edge, on either side; what
  -- was all the same counts on both.

  function build.fixed()
    local F = {}
    local function bounds(w, ms)
      if w.b and ms >= w.b and ms < w.e then return w.b, w.e end
      local base = w.b and (ms < w.b and w.b or w.e) or w.a
      local start = base + floor((ms - base) / w.s) * w.s
      return start, start + w.s
    end
    local function counted(w, start) return tonumber(call('HGET', key(w), int(start)) or 0) end

    function F.load(w)
      local start, stop = bounds(w, NOW)
      local n = counted(w, start)
      if n > SPOILT then
        call('HDEL', key(w), int(start))
        n = 0
      end
      return { start = start, stop = stop, n = n }
    end
    function F.used(w, st) return st.n end
    function F.quiet(w, st) return NOW < st.start + w.g or NOW >= st.stop - w.g end
    function F.free(w, st) return F.quiet(w, st) and 0 or w.l - st.n end

    function F.earliest(w, st, need)
      if NOW < st.stop - w.g and st.n + need <= w.l then return max(NOW, st.start + w.g) end
      local start, stop = bounds(w, st.stop)
      if counted(w, start) + need <= w.l then return start + w.g end
      return stop + w.g
    end

    -- The windows, not over yet, in which a call sent at `at` may be counted.
    local function windows_of(w, st, at)
      local found, last = {}, nil
      for _, ms in ipairs({ at - w.g, at, at + w.g }) do
        local start, stop = bounds(w, ms)
        if stop > NOW and start ~= last then found[#found + 1], last = start, start end
      end
      return found
    end

    function F.add(w, st, at, amount)
      for _, start in ipairs(windows_of(w, st, at)) do
        local n = call('HINCRBY', key(w), int(start), int(amount))
        if start == st.start then st.n = n end
        if n == amount then  -- a new window: the old ones go
          for _, name in ipairs(call('HKEYS', key(w))) do
            if tonumber(name) < st.start then call('HDEL', key(w), name) end
          end
          live(w, key(w))
        end
      end
    end

    function F.settle(w, st, taken, delta)
      for _, start in ipairs(windows_of(w, st, taken)) do
        local n = tonumber(call('HGET', key(w), int(start)) or -1)
        if n >= 0 then
          n = call('HINCRBY', key(w), int(start), int(max(delta, -n)))
          if start == st.start then st.n = n end
        end
      end
    end

    function F.restamp(w, st, taken, sent, amount)
      F.settle(w, st, taken, -amount)
      F.add(w, st, sent, amount)
    end

    function F.slack(w, st, at, need)
      return at >= st.stop and Q.UNLIMITED or w.l - st.n - need
    end
    function F.reset(w, st) return st.stop + w.g end
    return F
  end

  -- Fixed from first use: the window starts with the first call after the last window ended. Its
  -- start lies in [lo, hi]: nothing is sent from lo + s - g until hi + s + g.

  function build.first_use()
    local U = {}
    function U.load(w)
      local h = call('HMGET', key(w), 'n', 's', 'h', 'z', 'f')
      local st = { n = tonumber(h[1] or 0), lo = tonumber(h[2] or 0), hi = tonumber(h[3] or 0),
        last = tonumber(h[4] or 0), sure = h[5] == '1' }
      st.open = h[1] and NOW < st.hi + w.s + w.g and st.n <= SPOILT or false
      if not st.open then st.n = 0 end
      return st
    end
    local function keep_first(w, st)
      call('HSET', key(w), 'n', int(st.n), 's', int(st.lo), 'h', int(st.hi), 'z', int(st.last), 'f', st.sure and '1' or '0')
      live(w, key(w))
    end
    local function start_first(w, st, at, amount, sure)
      st.open, st.n, st.lo, st.hi, st.last, st.sure = true, amount, at, at, at, sure
    end
    function U.used(w, st) return st.n end
    function U.quiet(w, st) return st.open and NOW >= st.lo + w.s - w.g end
    function U.free(w, st) return U.quiet(w, st) and 0 or w.l - st.n end

    function U.earliest(w, st, need)
      if not U.quiet(w, st) and st.n + need <= w.l then return NOW end
      return st.open and st.hi + w.s + w.g or NOW
    end

    function U.add(w, st, at, amount, sure)
      if st.open then
        st.n, st.last = st.n + amount, max(st.last, at)
      elseif at + w.s + w.g > NOW then
        start_first(w, st, at, amount, sure or false)
      else
        return
      end
      keep_first(w, st)
    end

    function U.settle(w, st, taken, delta, actual)
      if not st.open or taken < st.lo then return end
      st.n = max(0, st.n + delta)
      if st.n == 0 then
        st.open = false
        call('DEL', key(w))
        return
      end
      -- given back: it may be the one that was thought to start the window
      if actual == 0 and taken <= st.hi then st.hi, st.sure = st.last, false end
      keep_first(w, st)
    end

    function U.restamp(w, st, taken, sent, amount)
      if not st.open or taken < st.lo then return U.add(w, st, sent, amount, true) end
      if st.n <= amount then
        start_first(w, st, sent, st.n, true)
      else
        st.last = max(st.last, sent)
        if taken <= st.hi and not st.sure then st.hi, st.sure = max(st.hi, sent), true end
      end
      keep_first(w, st)
    end

    function U.slack(w, st, at, need)
      local lo, hi = st.open and st.lo or NOW, st.open and st.hi or NOW
      if at >= hi + w.s + w.g then return Q.UNLIMITED end
      return not st.open and at >= lo + w.s - w.g and 0 or w.l - st.n - need
    end
    function U.reset(w, st) return st.open and st.hi + w.s + w.g or NOW end
    return U
  end

  -- Bucket: a burst of l, refilled at l per span. After a take from a full bucket the refill counts
  -- g later: the level is cut to `full` first. `peaks` are the highest levels since a moment: what is
  -- given back for that moment must not fill the bucket above full then, or refill would count twice.

  function build.bucket()
    local B = {}
    local function full(w) return w.l * MICRO - ceil(w.g * w.l * MICRO / w.s) end
    local function level(w, st, at)
      if not st.v then return w.l * MICRO end
      return min(w.l * MICRO, st.v + floor(max(0, at - st.u) * w.l * MICRO / w.s))
    end
    local function owed(w, v) return max(v, -DEBT * w.l * MICRO) end
    function B.load(w)
      local h = call('HMGET', key(w), 'v', 'u', 'p', 'late', 'looks')
      local st = { v = h[1] and owed(w, tonumber(h[1])), u = tonumber(h[2] or NOW), peaks = {} }
      local since, till, over = string.match(h[4] or '0,0,0', '^(%d+),(%d+),(%d+)$')
      st.since, st.till, st.over = tonumber(since), tonumber(till), tonumber(over)
      for at, top in string.gmatch(h[3] or '', '(%d+):(-?%d+)') do
        if tonumber(at) > NOW - w.s then st.peaks[#st.peaks + 1] = { tonumber(at), tonumber(top) } end
      end
      local n, text = string.match(h[5] or '0;', '^(%d+);(.*)$')
      st.n, st.text = tonumber(n), text
      return st
    end

    -- Looks are read when they are needed: mostly one is only written behind the others.
    local function looks_of(st)
      if not st.looks then
        st.looks = {}
        for at, wide, high in string.gmatch(st.text, '(%d+):(%d+):(-?%d+)') do
          st.looks[#st.looks + 1] = { tonumber(at), tonumber(at) + tonumber(wide), tonumber(high) }
        end
      end
      return st.looks
    end
    local function look_text(first, last, high) return int(first) .. ':' .. int(last - first) .. ':' .. int(high) end
    local function text_of(st)
      if st.looks then
        local parts = {}
        for i, look in ipairs(st.looks) do parts[i] = look_text(look[1], look[2], look[3]) end
        st.n, st.text = #parts, table.concat(parts, ',')
      end
      return int(st.n) .. ';' .. st.text
    end
    -- Neighbours as one, with the level of the higher: what is older than a span first, then the most alike.
    local function fewer(w, looks)
      local function join(i)
        looks[i][2], looks[i][3] = looks[i + 1][2], max(looks[i][3], looks[i + 1][3])
        table.remove(looks, i + 1)
      end
      while looks[2] and looks[2][2] <= NOW - w.s do join(1) end
      while #looks > KEPT_LOOKS do
        local alike, least = 1, math.huge
        for i = 1, #looks - 1 do
          local apart = math.abs(looks[i][3] - looks[i + 1][3])
          if apart < least then alike, least = i, apart end
        end
        join(alike)
      end
    end
    local function note_look(w, st, at, high)
      if not st.looks then
        local first, wide, level = string.match(string.sub(st.text, -64), '(%d+):(%d+):(-?%d+)$')
        local last = first and first + wide
        if last and at <= last and at >= tonumber(first) and high <= tonumber(level) then return end
        if st.n < LOOKS and (not last or at > last) then
          st.n, st.text = st.n + 1, (last and st.text .. ',' or '') .. look_text(at, at, high)
          return
        end
      end
      local looks = looks_of(st)
      local i = #looks
      while looks[i] and looks[i][1] > at do i = i - 1 end
      if looks[i] and at <= looks[i][2] then
        looks[i][3] = max(looks[i][3], high)
      else
        table.insert(looks, i + 1, { at, at, high })
        if #looks > LOOKS then fewer(w, looks) end
      end
    end
    -- The level, at most full, and the looks less what has run over by now.
    local function cut(w, st)
      if not st.v then return full(w) end
      local most = w.l * MICRO
      local raised = st.v + floor(max(0, NOW - st.u) * w.l * MICRO / w.s)
      local over = min(max(0, raised - full(w)), most)
      if over > 0 then
        for _, look in ipairs(looks_of(st)) do look[3] = max(look[3] - over, -most) end
      end
      return min(raised, full(w))
    end
    -- How high it stood at a moment: nothing but refill since, up to the next look.
    local function stood(w, st, at, now)
      local next_at, high = NOW, now
      for _, look in ipairs(looks_of(st)) do
        if look[1] > at then
          next_at, high = look[1], look[3]
          break
        end
      end
      return max(high - floor((next_at - at) * w.l * MICRO / w.s), -w.l * MICRO)
    end
    local function keep_level(w, st, v)
      v = owed(w, v)
      st.v, st.u = v, NOW
      local p = {}
      for i, peak in ipairs(st.peaks) do p[i] = int(peak[1]) .. ':' .. int(peak[2]) end
      call('HSET', key(w), 'v', int(v), 'u', int(NOW), 'p', table.concat(p, ','), 'looks', text_of(st))
      if st.till > 0 then
        call('HSET', key(w), 'late', int(st.since) .. ',' .. int(st.till) .. ',' .. int(st.over))
      end
      live(w, key(w))
    end
    local function note_peak(w, st, at, top)
      if at <= NOW - w.s then return end
      local peaks, later = {}, {}
      for _, peak in ipairs(st.peaks) do
        if peak[1] >= at then later[#later + 1] = peak elseif peak[2] > top then peaks[#peaks + 1] = peak end
      end
      if not later[1] or later[1][2] < top then peaks[#peaks + 1] = { at, top } end
      for _, peak in ipairs(later) do peaks[#peaks + 1] = peak end
      if #peaks > PEAKS then  -- the two oldest become one: later and higher, so stricter
        peaks[2][2] = peaks[1][2]
        table.remove(peaks, 1)
      end
      st.peaks = peaks
    end
    local function peak_since(w, st, at)
      local top = min(level(w, st, NOW), full(w))
      for _, peak in ipairs(st.peaks) do
        if peak[1] > at then top = max(top, peak[2]) end
      end
      return top
    end

    function B.used(w, st) return w.l - floor(level(w, st, NOW) / MICRO) end
    function B.free(w, st) return floor(level(w, st, NOW) / MICRO) end

    local function full_at(w, st, wanted)
      if not st.v then return NOW end
      local at = max(NOW, st.u + ceil((wanted - st.v) * w.s / (w.l * MICRO)))
      if level(w, st, at) < wanted then at = at + 1 end  -- doubles: less than a ms off
      return at
    end
    function B.earliest(w, st, need) return full_at(w, st, need * MICRO) end

    function B.add(w, st, at, amount)
      local top = cut(w, st)
      note_peak(w, st, NOW, top)
      note_look(w, st, NOW, top)
      keep_level(w, st, top - amount * MICRO)
    end

    function B.settle(w, st, taken, delta)
      if NOW - taken >= w.s then return end
      local now, back = level(w, st, NOW), -delta * MICRO
      if back < 0 then now = min(now, full(w)) end
      if back > 0 then
        back = max(0, min(back, full(w) - peak_since(w, st, taken)))
        for _, peak in ipairs(st.peaks) do
          if peak[1] > taken then peak[2] = peak[2] + back end
        end
        for _, look in ipairs(back > 0 and looks_of(st) or {}) do
          if look[2] > taken then look[3] = min(look[3] + back, full(w)) end
        end
      end
      keep_level(w, st, now + back)
    end

    -- Counted later, the level stood higher in between, and only there: what then ran over the brim is
    -- lost, but of a stretch never more than its refill, however many calls were late in it.
    local function refill(w, ms) return ceil(ms * w.l * MICRO / w.s) end
    function B.restamp(w, st, taken, sent, amount)
      if taken > st.till then st.since, st.till, st.over = taken, sent, 0 end
      st.since, st.till = min(st.since, taken), max(st.till, sent)
      local now, brim, between = cut(w, st), full(w), {}
      local before = stood(w, st, sent, now)
      local top = before
      for i, look in ipairs(looks_of(st)) do
        between[i] = look[2] > taken and look[1] <= sent
        if between[i] then top = max(top, look[3]) end
      end
      local most = min(amount * MICRO, refill(w, sent - taken), refill(w, st.till - st.since) - st.over)
      local lost = max(0, min(top + amount * MICRO - brim, most))
      local more = amount * MICRO - lost
      for i, look in ipairs(looks_of(st)) do
        look[3] = between[i] and min(look[3] + more, brim) or max(look[3] - lost, -w.l * MICRO)
      end
      st.over = st.over + lost
      note_peak(w, st, sent, min(top + more, brim))
      note_look(w, st, sent, min(before + more, brim))
      keep_level(w, st, now - lost)
    end

    function B.slack(w, st, at, need)
      local refill = floor(max(0, at - NOW) * w.l * MICRO / w.s)
      return floor((min(level(w, st, NOW), full(w)) + refill) / MICRO) - need
    end
    function B.reset(w, st) return w.l > 0 and full_at(w, st, w.l * MICRO) or NOW end
    return B
  end

  -- What every kind has in common.

  local function kind(w)
    local name = w.t == 'fixed' and w.a == 'first_use' and 'first_use' or w.t
    local k = built[name]
    if not k then
      k = build[name]()
      built[name] = k
    end
    return k
  end
  local function state(w)
    local st = read[w.k]
    if not st or st.now ~= NOW then
      st = kind(w).load(w)
      st.now = NOW
      read[w.k] = st
    end
    return st
  end

  function Q.amount(w, need)
    if w.d == 'requests' then return w.x and need.n or 1 end
    local spoken = need.a or 0
    local counted = spoken > 0 and max(spoken, w.m or 0) or 0
    if w.d == 'audio_seconds' then return counted end
    local tokens = need.i or 0
    if w.d == 'microusd' then
      if spoken > 0 and w.pa then return ceil(counted * w.pa / 3600 - 1e-6) end
      local spent = (tokens * w.pi + (need.m or 0) * w.po) * (w.f or 1) + spoken * (w.at or 0) * w.pi
      return ceil(spent / MICRO - 1e-6)
    end
    if w.d == 'output_tokens' then
      local said = (w.c == 'input+max_output' and need.m or need.o) or 0
      return ceil(said * (w.f or 1) - 1e-6)
    end
    if w.d == 'input_tokens' then
      return ceil(tokens * (w.f or 1) + spoken * (w.at or 0) - 1e-6)
    end
    if w.c == 'input+output' then
      tokens = tokens + (need.o or 0)
    elseif w.c ~= 'input' then
      tokens = tokens + (need.m or 0)
    end
    return ceil(tokens * (w.f or 1) + spoken * (w.at or 0) - 1e-6)
  end

  function Q.earliest(w, amount, keep)
    if amount <= 0 then return NOW end
    if amount > w.l then return -1 end
    return kind(w).earliest(w, state(w), amount + min(keep or 0, w.l - amount))
  end

  function Q.free(w) return max(0, kind(w).free(w, state(w))) end

  function Q.take(w, amount)
    amount = within(amount)
    if amount > 0 then kind(w).add(w, state(w), NOW, amount) end
  end

  function Q.settle(w, taken, reserved, actual)
    reserved, actual = within(reserved), within(actual)
    if actual ~= reserved then kind(w).settle(w, state(w), taken, actual - reserved, actual) end
  end

  function Q.restamp(w, taken, sent, amount)
    sent, amount = min(sent, NOW), within(amount)
    if amount > 0 and sent > taken then kind(w).restamp(w, state(w), taken, sent, amount) end
  end

  function Q.slack(w, at, amount, keep)
    local need = amount + max(0, min(keep or 0, w.l - amount))
    return max(0, kind(w).slack(w, state(w), max(at, NOW), need))
  end

  function Q.observe(w, used)
    local more = within(used) - kind(w).used(w, state(w))
    if more > 0 then kind(w).add(w, state(w), NOW, more) end
  end

  -- The grains of a sliding ledger from a moment on, each at its end: {ms, amount}.
  function Q.sent(w, from)
    local size, found = max(1, floor(w.s / 1000)), {}
    local names = call('LRANGE', log(w), 0, -1)
    for i = 1, #names, 500 do
      local amounts = call('HMGET', key(w), unpack(names, i, min(i + 499, #names)))
      for j, amount in ipairs(amounts) do
        local at = min(NOW, (tonumber(names[i + j - 1]) + 1) * size - 1)
        local n = tonumber(amount or 0)
        if at >= from and n > 0 then found[#found + 1] = { at, n } end
      end
    end
    return found
  end

  -- What one window counted counts in another too: when it was, where both slide, else now.
  function Q.bring(from, w)
    local now = NOW
    if from.t == 'sliding' and w.t == 'sliding' then
      for _, e in ipairs(Q.sent(from, now - w.s - w.g)) do
        NOW = e[1]
        Q.take(w, e[2])
      end
      NOW = now
    else
      Q.take(w, kind(from).used(from, state(from)))
    end
  end

  function Q.view(w)
    local used = kind(w).used(w, state(w))
    return used, Q.free(w), used > 0 and kind(w).reset(w, state(w)) or NOW
  end
end
