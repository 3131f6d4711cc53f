"""A job's candidate lanes, named once: few distinct lists serve all jobs."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import orjson


@lru_cache(maxsize=4096)
def signed(
    candidates: tuple[str, ...], paid: tuple[str, ...]
) -> tuple[str, dict[str, Sequence[str]]]:
    """The name of an ordered candidate list and the list itself, as the scripts keep it."""
    lists: dict[str, Sequence[str]] = {"c": candidates, "p": paid}
    return hashlib.blake2b(orjson.dumps(lists), digest_size=8).hexdigest(), lists
