"""What is kept in Redis, a file a noun; keys.py lists every key."""
