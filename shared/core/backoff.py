"""How long to wait before trying again: exponential, with jitter, and a stated wait wins.

Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/): a wait
drawn evenly from zero to the ceiling, so that jobs which failed together do not return together.
"""

BASE_MS = 1_000
CAP_MS = 30_000
_MAX_DOUBLINGS = 30


def ceiling_ms(failures: int, base_ms: int = BASE_MS, cap_ms: int = CAP_MS) -> int:
    """The longest wait after `failures` (0: the first) in a row: base, doubling, up to the cap."""
    doublings = min(max(failures, 0), _MAX_DOUBLINGS)
    return min(cap_ms, base_ms << doublings)


def full_jitter_ms(failures: int, draw: float, base_ms: int = BASE_MS, cap_ms: int = CAP_MS) -> int:
    """A wait between 0 and the ceiling; `draw` is even in [0, 1)."""
    return int(ceiling_ms(failures, base_ms, cap_ms) * draw)


def half_jitter_ms(failures: int, draw: float, base_ms: int = BASE_MS, cap_ms: int = CAP_MS) -> int:
    """A wait between half the ceiling and the ceiling: where no wait at all would do harm."""
    top = ceiling_ms(failures, base_ms, cap_ms)
    return top - int(top * draw / 2)


def wait_ms(
    failures: int,
    draw: float,
    retry_after_ms: int | None,
    base_ms: int = BASE_MS,
    cap_ms: int = CAP_MS,
) -> int:
    """The wait before another try: what the provider stated, else full jitter."""
    if retry_after_ms is not None:
        return max(0, retry_after_ms)
    return full_jitter_ms(failures, draw, base_ms, cap_ms)
