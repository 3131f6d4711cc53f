-- Takes the leader's lease if nobody holds it.
-- KEYS[1] string, the holder "owner|fence", expires with the lease · KEYS[2] string, the newest fence
-- ARGV[1] owner · ARGV[2] lease in ms
-- Returns {fence, 0} where it is the caller's now, else {0, ms until the holder's lease ends}.
-- Promises: one holder at a time; a fence is larger than every one before it. KEYS[2] never expires.
-- Asked again by the holder (its reply was lost) it gives the same fence and a fresh lease.
local held = redis.call('GET', KEYS[1])
if held then
  local owner, fence = string.match(held, '^(.*)|(%d+)$')
  if owner ~= ARGV[1] then return { 0, math.max(redis.call('PTTL', KEYS[1]), 1) } end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return { tonumber(fence), 0 }
end
local fence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. string.format('%.0f', fence), 'PX', ARGV[2])
return { fence, 0 }
