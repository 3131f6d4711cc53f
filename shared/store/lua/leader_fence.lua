-- Library: refuses a leader that was replaced. Composed in front of every script that acts for the
-- scheduler; `leader_current(newest_fence_key, fence)` returns nil, or the error reply to return.
-- The newest fence given out is the only one that may act, whether its lease has run out or not:
-- where nobody came after it, nobody is contradicted.
local function leader_current(key, fence)
  local newest = tonumber(redis.call('GET', key) or '0')
  if tonumber(fence) ~= newest then return redis.error_reply('STALE a newer leader acts') end
  return nil
end
