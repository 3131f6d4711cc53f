"""`make demo`: the main job end to end, on real input, without a key."""
