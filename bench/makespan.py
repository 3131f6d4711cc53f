"""How soon a backlog is done over rate-limited providers, against the exact least time.

Three providers of 60, 120 and 300 requests per (simulated, 6 s) minute: a sliding, a fixed and a
refilling window. The bound is the least time in which those windows, empty at the start and in
their actual phase, can admit all the work; the answers' own 50 ms are not in it.
"""

from typing import Any

from bench import load
from bench.cases import CASES, Case, CaseRun
from bench.figures import Options, Result, judged
from bench.stack import Stack
from simulator import headrace_config, preset, running


def run(options: Options) -> Result:
    """Runs each case on a fresh simulator and a fresh stack."""
    jobs = options.size(2_000, 520)
    wanted = [case for case in CASES if options.case in (None, case.name)]
    if not wanted:
        raise SystemExit(f"--case is one of {', '.join(case.name for case in CASES)}")
    if options.quick and options.case is None:
        wanted = wanted[:1]
    figures: dict[str, Any] = {"jobs": jobs}
    lines, checks = [], []
    for case in wanted:
        one = _one(case, jobs)
        figures[case.name] = one
        lines.append(_line(case, one))
        checks += [(f"{case.name}: {what}", one[what], "<=", most) for what, most in case.budget]
    return judged("makespan", figures, lines, *checks)


def _one(case: Case, jobs: int) -> dict[str, Any]:
    config = preset("makespan")
    with running(config) as address:
        told = headrace_config(
            config, address, declare_kinds=case.kinds, declare_limits=case.limits
        )
        with Stack(told) as stack:
            return load.run(CaseRun(case, jobs, address, stack.url).measure())


def _line(case: Case, one: dict[str, Any]) -> str:
    return (
        f"{case.name:<11} {one['makespan_s']:.2f} s, bound {one['bound_s']:.2f} s, ratio"
        f" {one['ratio']:.3f}; upstream 429s {100 * one['upstream_429_share']:.2f} %, callers'"
        f" {one['callers_429']}, unfinished {one['unfinished']}, wrong {one['wrong']},"
        f" called twice {one['called_twice']}"
    )
