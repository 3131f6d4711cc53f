"""A file of 50,000 lines over five providers, while two of them refuse and processes are killed.

In the middle one provider's limit falls by half and says nothing, another answers 429 to everything
for a while, and a worker, the API and the scheduler are killed with -9. Judged are the files, line
by line, the time from creating the batch to its end against the exact least time of the providers'
windows, and memory. One line in a hundred is wrong, and is refused for it.
"""

from typing import Any

from bench import load
from bench.batch_story import FULL, QUICK, Story, mapping_for
from bench.figures import Options, Result, judged
from bench.stack import Stack
from simulator import headrace_config, load_config, running

WORKERS = 2
WORKER_MB = 150.0
RATIO, GROWTH = 1.05, 1.10


def run(options: Options) -> Result:
    """One story on a fresh simulator and a fresh stack."""
    return tell(options.size(FULL, QUICK))


def tell(lines: int) -> Result:
    """The story at a size, and what is to be said of it."""
    config = load_config(mapping_for(lines))
    with (
        running(config) as address,
        Stack(headrace_config(config, address), workers=WORKERS) as stack,
    ):
        figures = load.run(Story(lines, config.speed, address, stack).run())
    return judged(
        "batch", figures, _lines(figures),
        ("ratio to the least time", figures["ratio"], "<=", RATIO),
        ("lines that are missing", figures["missing"], "<=", 0),
        ("lines that came twice", figures["doubled"], "<=", 0),
        ("answers to another line", figures["wrong"], "<=", 0),
        ("counts that differ", figures["counts_off"], "<=", 0),
        ("callers' 429s", figures["callers_429"], "<=", 0),
        ("worker at most (MB)", figures["peak_mb"]["workers"], "<=", WORKER_MB),
        *(
            (f"{role}, growth after the first fifth", figures["growth"][role], "<=", GROWTH)
            for role in ("api", "workers", "scheduler")
        ),
    )  # fmt: skip


def _lines(figures: dict[str, Any]) -> list[str]:
    grown = ", ".join(
        f"{role} {figures['peak_mb'][role]:.0f} MB ({grew:.2f} times)"
        for role, grew in figures["growth"].items()
    )
    store = figures["store_mb"]
    return [
        (
            "{lines} lines     {status} in {makespan_s} s, bound {bound_s} s, ratio {ratio:.3f}"
            " (last answer {ratio_of_answers:.3f})"
        ).format(**figures),
        (
            "files           missing {missing}, doubled {doubled}, wrong {wrong}; refused"
            " {refused}, failed otherwise {failed_otherwise}; counts {counts}"
        ).format(**figures),
        (
            "upstream        {upstream_calls} calls, 429s {upstream_429_share:.2%}, called twice"
            " {called_twice}; killed {killed}"
        ).format(**figures),
        "processor       "
        + ", ".join(f"{r} {s} s" for r, s in figures["cpu_s"].items())
        + f"; load {figures['load'][0]}",
        f"memory          {grown} at most (last fifth against the second)",
        "store           {first} MB, at most {peak}, then {last}: {kib_a_line} KiB a line".format(
            **store
        ),
    ]
