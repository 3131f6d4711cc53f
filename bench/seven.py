"""Mixed chats over seven free providers and a paid one, while a key, a model and a provider fail.

The providers are the simulator's preset `seven`: seven wires, two keys each, windows of minutes and
caps of days. A backlog waits for free quota; callers hold chats; then a crowd comes in a hurry,
more than free quota starts in time: only of these may any be paid. Judged are what callers got and,
after the run, by the providers' own rules, whether any paid call was needless (`bench/spare.py`).

`needless_paid_calls` is judged by hindsight: by what every call did use. `needless_knowably` counts
those of them where a key had room also by what could be known when the paid call began: what had
not ended by then, and what was begun later, counts what it held. Each is told with its story
(`bench/seven_trace.py`), as is each job that was not done.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from bench import load, spare
from bench import seven_trace as trace
from bench.figures import Options, Result, judged
from bench.mixed import chat
from bench.seven_story import DAY_US, FULL, PAID, Story, mapping_for
from bench.stack import Stack
from shared.core.eta import P95_SERVICE
from shared.core.model import Status
from shared.store.types import JobRecord
from simulator import SimulatorConfig, headrace_config, load_config, running
from simulator.config import SimulatedProvider

COMPLETE, FREE, COST = 0.999, 0.90, 0.5
QUICK, QUICK_SPEED = 80, 120.0
FAR_MS = 1 << 50


@dataclass(frozen=True, slots=True)
class Judge:
    """What is asked where a paid call looks needless: the store's record, the plans' payments."""

    kept: trace.Kept
    pays: Sequence[trace.Told]
    plans: Sequence[trace.Told]

    def story(self, record: JobRecord) -> trace.Told:
        """What happened to a job."""
        return trace.story(record, self.kept, self.pays, self.plans)

    def calls(self, provider: str, at_ms: int, records: Sequence[JobRecord]) -> list[trace.Told]:
        """What its keys were called for around that moment."""
        return trace.calls(provider, at_ms, records)


def run(options: Options) -> Result:
    """One story on a fresh simulator and a fresh stack."""
    return tell(options.size(FULL, QUICK), QUICK_SPEED if options.quick else None)


def tell(jobs: int, speed: float | None = None) -> Result:
    """The story at a size, and what is to be said of it. `speed` None: as fast as is fair."""
    config = load_config(mapping_for(jobs) | ({} if speed is None else {"speed": speed}))
    settings = {
        "HEADRACE_BREAKER_OPEN_S": f"{max(0.1, 60 / config.speed):.3f}",
        "HEADRACE_LOG_LEVEL": "debug",  # what plans saw is told there
        "HEADRACE_LOG_FORMAT": "json",
    }
    ours = headrace_config
    with running(config) as address, Stack(ours(config, address), env=settings, told=True) as stack:
        story = Story(jobs, config.speed, address, stack.url, stack.store_url())
        records, state = load.run(story.run())
        pays, plans = stack.told("pays"), stack.told("planned")
    return _result(story, config, records, state, Judge(story.kept, pays, plans))


def _result(
    story: Story,
    config: SimulatorConfig,
    records: Sequence[JobRecord],
    state: dict[str, Any],
    judge: Judge,
) -> Result:
    done = [one for one in records if one.status is Status.COMPLETED]
    wrong = sum(not _belongs(one) for one in done)
    paid = [one for one in done if one.cost_microusd]
    patient = [one for one in done if one.id not in story.hurried]
    free_patient = sum(not one.cost_microusd for one in patient)
    only_paid = sum(_price(config, one) for one in done)
    cost = sum(one.cost_microusd for one in done)
    found = _needless(story, config, records, judge)
    unmet = [one for one in records if one.status is not Status.COMPLETED]
    upstream = {name: one["total"] for name, one in state["providers"].items()}
    received = sum(one["received"] for one in upstream.values())
    refused = sum(one["answered_429"] for one in upstream.values())
    figures: dict[str, Any] = {
        "chats": story.jobs,
        "speed": story.speed,
        "elapsed_s": round(story.ended_s - story.began_s, 1),
        "completed_share": round(len(done) / story.jobs, 6),
        "wrong": wrong,
        "callers": {str(status): count for status, count in sorted(story.statuses.items())},
        "callers_429": story.statuses[429],
        "ended": dict(Counter(one.status.value for one in records)),
        "errors": dict(Counter((one.error or {}).get("code", "?") for one in records if one.error)),
        "free_share": round(1 - len(paid) / max(1, len(done)), 6),
        "free_share_where_free_suffices": round(free_patient / max(1, len(patient)), 6),
        "paid_calls": len(paid),
        "hurried": len(story.hurried),
        "cost_usd": cost / 1e6,
        "paid_only_usd": only_paid / 1e6,
        "cost_share": round(cost / only_paid, 6) if only_paid else None,
        "needless_paid_calls": len(found),
        "needless_knowably": sum(one["knowable"] is not None for one in found),
        "needless": found[: trace.TOLD],
        "paid_by": dict(Counter(trace.begun_by(judge.kept.events[one.id]) for one in paid)),
        "unmet": [judge.story(one) for one in unmet[: trace.TOLD]],
        "passes": trace.passes(judge.plans),
        "caps_reached": _caps_reached(state),
        "upstream_429_share": round(refused / max(1, received), 6),
        "upstream": {name: _upstream(one) for name, one in upstream.items()},
        "outcomes": _outcomes(records),
    }
    return judged(
        "seven", figures, _lines(figures),
        ("completed share", figures["completed_share"], ">=", COMPLETE),
        ("wrong answers", wrong, "<=", 0),
        ("callers' 429s", figures["callers_429"], "<=", 0),
        ("free share where free suffices", figures["free_share_where_free_suffices"], ">=", FREE),
        ("free share", figures["free_share"], ">=", FREE),
        ("cost against paid only", figures["cost_share"], "<=", COST),
        ("needless paid calls", len(found), "<=", 0),
        ("daily caps reached", len(figures["caps_reached"]), ">=", 1),
    )  # fmt: skip


def _belongs(record: JobRecord) -> bool:
    """Whether a stored result answers the question that the job asked."""
    asked = record.doc["request"]["messages"][-1]["content"]
    run, _, rest = asked.removeprefix("[[id:").partition("-")
    question = replace(chat(run, int(rest.partition("]]")[0])), kind="plain")
    told = record.result or b""
    return replace(question, question=asked).belongs(told)


def _price(config: SimulatorConfig, record: JobRecord) -> float:
    """What it would have cost at the paid provider's prices, in microusd."""
    model = next(p for p in config.providers if p.name == PAID).models[0]
    usage = record.usage
    if usage is None:
        return 0.0
    into, out = model.price_input_usd_per_1m, model.price_output_usd_per_1m
    return usage.input_tokens * into + usage.output_tokens * out


def _needless(
    story: Story, config: SimulatorConfig, records: Sequence[JobRecord], judge: Judge
) -> list[dict[str, Any]]:
    """Each needless paid call: by hindsight where there was room, whether one could know, why."""
    keys, paid = _free_keys(story, config), []
    took_ms: dict[str, list[int]] = {}
    for record in records:
        held = judge.kept.held.get(record.id, (0, 0))
        for attempt in record.attempts:
            key, use = keys.get(attempt["credential"]), _use(attempt, held)
            if attempt["outcome"] == "succeeded" and key is None:
                paid.append(spare.PaidCall(record.id, use, (record.deadline_ms or FAR_MS) * 1_000))
            elif attempt["outcome"] == "succeeded" and key is not None:
                key.uses.append(use)
                took_ms.setdefault(key.provider, []).append(
                    attempt["ended_ms"] - use.at_us // 1_000
                )
            elif key is not None and "retry_after_ms" in attempt:
                rests_ms = attempt["ended_ms"] + attempt["retry_after_ms"]
                key.shut.append((use.at_us, rests_ms * 1_000))
    for key in keys.values():
        key.uses.sort()
        key.takes_us = round(P95_SERVICE * fmean(took_ms.get(key.provider, [0])) * 1_000)
    every = list(keys.values())
    before = [replace(key, uses=list(key.uses)) for key in every]
    by_id = {record.id: record for record in records}
    return [
        {
            "free": key.id,
            "left": key.left(at),
            "calls": judge.calls(key.provider, at // 1_000, records),
            "after_s": (at - one.use.at_us) / 1e6,
            "knowable": spare.knowable(one, one.use.at_us, before),
            **judge.story(by_id[one.job]),
        }
        for one, key, at in spare.needless(paid, every)
    ]


def _use(attempt: dict[str, Any], held: tuple[int, int]) -> spare.Use:
    usage = attempt.get("usage") or {}
    at_ms = attempt.get("sent_ms", attempt["started_ms"])
    into, out = (usage.get(name, 0) for name in ("input_tokens", "output_tokens"))
    return spare.Use(at_ms * 1_000, into, out, attempt["ended_ms"] * 1_000, held)


def _free_keys(story: Story, config: SimulatorConfig) -> dict[str, spare.Key]:
    found = {}
    for provider in config.providers:
        limits = _real(provider, config.speed)
        for key in provider.keys if provider.name != PAID else ():
            shut = story.shut(provider.name, key.id)
            found[key.id] = spare.Key(provider.name, key.id, limits, provider.counts, shut=shut)
    return found


def _real(provider: SimulatedProvider, speed: float) -> list[Any]:
    specs = (*provider.limits, *provider.models[0].limits)
    return [
        replace(one, span_us=max(1, round(one.span_us / speed))) for one in specs if one.span_us
    ]


def _caps_reached(state: dict[str, Any]) -> list[str]:
    """Windows of a day or longer that were full at some moment, as key and dimension."""
    found = []
    for provider in state["providers"].values():
        for accounts in provider["models"].values():
            for key, account in accounts.items():
                found += [
                    f"{key}:{window['dimension']}"
                    for window in account["windows"]
                    if round(window["per_s"] * state["speed"] * 1.001) * 1_000_000 >= DAY_US
                    and window["peak"] >= window["limit"]
                ]
    return found


def _upstream(total: dict[str, Any]) -> dict[str, Any]:
    return {
        "answered": total["answered_200"],
        "refused_429": total["answered_429"],
        "other": {
            name: n for name, n in total["outcomes"].items() if name not in ("ok", "rate_limited")
        },
    }


def _outcomes(records: Sequence[JobRecord]) -> dict[str, int]:
    """Attempts by provider and outcome."""
    attempts = [attempt for record in records for attempt in record.attempts]
    told = (f"{one['deployment'].partition('/')[0]}:{one['outcome']}" for one in attempts)
    return dict(sorted(Counter(told).items()))


def _lines(figures: dict[str, Any]) -> list[str]:
    return [
        (
            "completed       {completed_share:.2%} of {chats} in {elapsed_s} s at speed {speed:g};"
            " callers' 429s {callers_429}, upstream's {upstream_429_share:.2%}"
        ).format(**figures),
        (
            "free            {free_share:.1%}, where it suffices"
            " {free_share_where_free_suffices:.1%}; paid {paid_calls} of {hurried} in a hurry,"
            " {needless_paid_calls} of them needless, {needless_knowably} of these knowably"
        ).format(**figures),
        "cost            {cost_usd:.4f} $ against {paid_only_usd:.4f} $ paid only".format(
            **figures
        ),
        f"caps reached    {', '.join(figures['caps_reached']) or 'none'}",
    ]
