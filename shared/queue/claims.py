"""Between Python and the scripts: rows become claims, reports become finishes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from shared.core.model import Kind, Need, Priority, Usage
from shared.queue.signature import signed
from shared.queue.types import Claim, Cooldown, Measured, NewJob, Report, Verdict

ROW = 17
FAILED = b'{"message":"failed","type":"server_error","code":"failed"}'


def _need(text: bytes) -> Need:
    i, o, m, a, *inputs = (int(n) for n in text.split(b","))
    return Need(i, o, m, a, *inputs)


def need_text(need: Need) -> str:
    """A need as the job hash keeps it: input, output, most output, audio; inputs if several."""
    figures = [need.input_tokens, need.output_tokens, need.max_output_tokens, need.audio_seconds]
    return ",".join(map(str, figures if need.inputs == 1 else [*figures, need.inputs]))


def claims(rows: Sequence[bytes | int], now_ms: int) -> list[Claim]:
    """The claims of one tick, as tick.lua lays them out: 17 fields each."""
    return [_claim(rows[at : at + ROW], now_ms) for at in range(0, len(rows), ROW)]


def _claim(row: Sequence[Any], now_ms: int) -> Claim:
    lists = orjson.loads(row[15])
    deadline = row[9]
    return Claim(
        job_id=row[0].decode(),
        fence=int(row[1]),
        lane=row[2].decode(),
        credential=row[3].decode(),
        tenant=row[4].decode(),
        kind=Kind(row[5].decode()),
        priority=Priority(int(row[6])),
        need=_need(row[7]),
        created_ms=int(row[8]),
        claimed_ms=now_ms,
        deadline_ms=int(deadline) if deadline else None,
        attempts=int(row[10]),
        requeues=int(row[11]),
        lost_leases=int(row[12]),
        uncertain=int(row[13]) > 0,
        streamed=row[14] != b"0",
        candidates=tuple(lists.get("c") or ()),
        paid_lanes=tuple(lists.get("p") or ()),
        doc=row[16],
    )


def usage_text(usage: Usage) -> str:
    """A usage as the job hash keeps it: input, output, cached, reasoning, audio, estimated."""
    return ",".join(
        str(int(n))
        for n in (
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
            usage.audio_seconds,
            usage.estimated,
        )
    )


def usage_of(text: bytes | None) -> Usage | None:
    """The inverse of `usage_text`."""
    if not text:
        return None
    i, o, c, r, a, e = (int(n) for n in text.split(b","))
    return Usage(i, o, c, r, a, bool(e))


def grain_ms(span_ms: int) -> int:
    """How finely deadlines so far away are told apart: under 0.5 % of the way, a power of two."""
    return 1 << (span_ms // 400).bit_length()


def job_header(job: NewJob) -> dict[str, Any]:
    """One job as accepting.lua reads it; None values are left out."""
    sig, _ = signed(job.candidates, job.paid_lanes)
    header = {
        "id": job.id,
        "tenant": job.tenant,
        "kind": job.kind,
        "priority": int(job.priority),
        "lane": job.lane,
        "sig": sig,
        "need": need_text(job.need),
        "weight": job.weight,
        "deadline_ms": job.deadline_ms,
        "grain_ms": grain_ms(job.deadline_ms) if job.paid_lanes and job.deadline_ms else None,
        "max_wait_ms": job.max_wait_ms,
        "delay_ms": job.delay_ms or None,
        "idem": job.idempotency,
        "live": job.live,
        "join": job.join_live or None,
        "hook": job.hook,
        "as": job.told_as,
        "batch": None if job.batch is None else " ".join(job.batch),
        **_shared(job),
        "parent": job.parent,
        "watch": job.watcher if job.follow or job.watcher is None else f"!{job.watcher}",
    }
    return {name: value for name, value in header.items() if value is not None}


def _shared(job: NewJob) -> dict[str, Any]:
    """What sharing.lua reads; a job that is to begin later leads nobody."""
    if job.sharing is None:
        return {}
    terms = job.sharing.terms
    return {
        "like": job.sharing.likeness,
        "share": (terms.follow and not job.delay_ms) or None,
        "cache": terms.cache_ms or None,
    }


def signatures(jobs: Sequence[NewJob]) -> dict[str, dict[str, Sequence[str]]]:
    """The candidate lists a batch of jobs refers to, once each."""
    return dict(signed(job.candidates, job.paid_lanes) for job in jobs)


def _measured(measured: Measured, usage: Usage | None) -> dict[str, Any]:
    """What usage.lua books of a call; None values are left out."""
    row = {
        "t": measured.total_ms,
        "f": measured.first_ms,
        "h": measured.claimed_ms,
        "a": measured.asked_tokens,
        "l": measured.list_microusd,
        "c": usage.cached_tokens if usage else 0,
        "free": measured.free,
    }
    return {name: value for name, value in row.items() if value is not None}


def _rests(cooldowns: Sequence[Cooldown]) -> list[dict[str, Any]]:
    return [
        {"scope": c.scope, "for_ms": c.for_ms, "reason": c.reason, "dead": c.dead}
        for c in cooldowns
    ]


def _text(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


@dataclass(frozen=True, slots=True)
class Finish:
    """A report on its way to the store, with the claim it is about."""

    claim: Claim
    report: Report

    def header(self, argv: list[bytes]) -> dict[str, Any]:
        """What finishing.lua reads; bodies are appended to `argv` and named by index."""
        report, claim = self.report, self.claim

        def put(body: bytes) -> int:
            argv.append(body)
            return len(argv) + 1  # ARGV[1] is the header

        usage = report.usage
        header: dict[str, Any] = {
            "id": claim.job_id,
            "fence": claim.fence,
            "verdict": report.verdict,
            "reached": report.reached,
            "exclude": report.exclude_lane,
            "delay": report.delay_ms,
            "reason": report.reason or report.verdict.value,
            "cost": report.cost_microusd,
            "health": report.health,
        }
        if usage is not None:
            header["used"] = {
                "i": usage.input_tokens,
                "o": usage.output_tokens,
                "a": usage.audio_seconds,
                "c": usage.cached_tokens,
            }
            header["usage"] = usage_text(report.total or usage)
        if report.measured is not None:
            header["m"] = _measured(report.measured, usage)
        if report.cooldowns:
            header["cools"] = _rests(report.cooldowns)
        if report.hedge is not None:
            header["hedge"] = {
                "won": report.hedge.won,
                "reached": report.hedge.reached,
                "cools": _rests(report.hedge.cooldowns),
            }
        header |= self._escape()
        if report.outbox:
            header["outbox"] = [job_header(job) | {"doc": put(job.doc)} for job in report.outbox]
        if report.attempt:
            header["att"] = put(orjson.dumps(report.attempt))
        return header | self._outcome(put)

    def _escape(self) -> dict[str, Any]:
        """Where the job may go from here, and what is said of it; None values are left out."""
        report, narrowed = self.report, self.narrowed()
        header = {
            "uncertain": report.uncertain or None,
            "own": report.own_fault or None,
            "away": report.blame_provider or None,
            "resume": report.resume,
            "lane": report.lane,
            "sig": signed(*narrowed)[0] if narrowed else None,
        }
        return {name: value for name, value in header.items() if value is not None}

    def narrowed(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The candidates left where this lane was found unable to serve the job; else None."""
        claim, report = self.claim, self.report
        if report.lane is None or not report.exclude_lane:
            return None
        hedge = report.hedge
        mine = hedge.lane if hedge is not None and hedge.won else claim.lane
        lists = (claim.candidates, claim.paid_lanes)
        left, paid = (tuple(name for name in lanes if name != mine) for lanes in lists)
        return left, paid

    def _outcome(self, put: Callable[[bytes], int]) -> dict[str, Any]:
        report = self.report
        error = None if report.error is None else orjson.dumps(report.error)
        match report.verdict:
            case Verdict.COMPLETE:
                return {"res": put(b"null" if report.result is None else report.result)}
            case Verdict.FAIL:
                return {"err_arg": put(error or FAILED)}
            case Verdict.WAIT:
                told = {} if report.progress is None else {"progress": _text(report.progress)}
                return {"state": put(report.state), "awaits": report.awaits, **told}
            case Verdict.RETRY | Verdict.REQUEUE | Verdict.CANCEL:
                return {"err": error.decode()} if error else {}
            case _:
                assert_never(report.verdict)


def candidates(finishes: Sequence[Finish]) -> dict[str, dict[str, Sequence[str]]]:
    """The candidate lists a batch of finishes refers to, once each."""
    found = signatures([job for finish in finishes for job in finish.report.outbox])
    return found | dict(signed(*lists) for finish in finishes if (lists := finish.narrowed()))
