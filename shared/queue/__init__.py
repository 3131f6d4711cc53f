"""The engine: a dramatiq broker on Redis, claims and finishes in one atomic call."""
