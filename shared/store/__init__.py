"""What is kept in Redis, a file a noun. The schema of keys heads `queue/lua/prelude.lua`."""
