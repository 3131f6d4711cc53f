-- Holds the leader's lease for longer, or gives it up.
-- KEYS[1] string, the holder "owner|fence"
-- ARGV[1] "owner|fence" of the caller · ARGV[2] lease in ms; 0 gives it up
-- Returns 1 where the caller held it, else 0: it was lost, and nothing is changed.
-- Promises: never takes a lease that is not the caller's own, never shortens another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) else redis.call('DEL', KEYS[1]) end
return 1
