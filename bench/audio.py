"""Ten hours of speech in 200 files over Whisper providers with seconds of audio by the hour.

The speech says what it says (`simulator.speech`), the providers hear it in whatever part they are
sent, and each has a refilling window. Files are uploaded and handed in as jobs; then it is judged
how much of the quota that there was from the first call to the last answer was used, that no caller
saw a refusal, and that every merged text is what was spoken, with every word at its time.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from bench import load
from bench.figures import Options, Result, judged
from bench.stack import KEY, Stack
from simulator import SimulatorConfig, headrace_config, load_config, running
from simulator.presets import preset_mapping
from simulator.server import Address
from simulator.speech import Talk, talk_of, write

QUOTA, WORD_S = 0.97, 0.1
HOUR_S = 3_600
UPLOADS, LOOKS = 6, 32
WITHIN_S = 3_000.0
MODEL = "sim-whisper"
FINAL = {"completed", "failed", "cancelled", "expired"}


@dataclass(frozen=True, slots=True)
class Size:
    """How much speech: files of `mean_s` seconds, half as long to half as long again.

    `hourly` are the seconds of each provider, `part_s` the longest part it takes.
    """

    files: int
    mean_s: int
    hourly: tuple[int, int, int]
    part_s: int
    speed: float


FULL = Size(200, 180, (7_200, 3_600, 1_200), 120, 20.0)
QUICK = Size(4, 24, (120, 60, 60), 20, 360.0)


def run(options: Options) -> Result:
    """One run on a fresh simulator and a fresh stack. `--jobs` is how many files."""
    size = QUICK if options.quick else FULL
    if options.jobs:
        size = Size(options.jobs, size.mean_s, size.hourly, size.part_s, size.speed)
    with tempfile.TemporaryDirectory(prefix="hr-speech-") as folder:
        talks = speech(size, Path(folder))
        return tell(size, talks)


def speech(size: Size, folder: Path) -> list[tuple[Talk, Path]]:
    """The files, and what is said in them: the same for the same size."""
    draw = Random(size.files)
    lengths = [draw.uniform(0.5, 1.5) for _ in range(size.files)]
    scale = size.mean_s * size.files / sum(lengths)
    paths = [folder / f"talk-{number:04d}.flac" for number in range(size.files)]
    with ProcessPoolExecutor(2) as pool:
        seconds = [length * scale for length in lengths]
        talks = list(pool.map(_spoken, range(size.files), seconds, paths))
    return list(zip(talks, paths, strict=True))


def _spoken(seed: int, seconds: float, path: Path) -> Talk:
    talk = talk_of(seed, seconds)
    write(talk, path)
    return talk


def configured(size: Size) -> SimulatorConfig:
    """The providers of the preset `whispers` with these limits."""
    mapping = preset_mapping("whispers") | {"speed": size.speed}
    for provider, hourly in zip(mapping["providers"].values(), size.hourly, strict=True):
        provider["models"][0] |= {"max_audio_seconds": size.part_s, "min_billed_seconds": 0}
        provider["limits"] = [{"audio_seconds": hourly, "per": "1h", "kind": "bucket"}]
    return load_config(mapping)


def tell(size: Size, talks: Sequence[tuple[Talk, Path]]) -> Result:
    """Hands it all in, waits for the end of it, and judges what came back."""
    config = configured(size)
    with running(config) as address, Stack(headrace_config(config, address)) as stack:
        story = Story(stack.url, address)
        jobs, state = load.run(story.run(talks))
    return _result(size, talks, story, jobs, state)


@dataclass(slots=True)
class Story:
    """What callers do, and what they are answered."""

    url: str
    address: Address
    statuses: Counter[int] = field(default_factory=Counter)
    elapsed_s: float = 0.0

    async def run(
        self, talks: Sequence[tuple[Talk, Path]]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """All jobs as they ended, in the order of the talks, and what the simulator saw."""
        headers = {"Authorization": f"Bearer {KEY}"}
        limits = httpx2.Limits(max_connections=UPLOADS + LOOKS)
        began = time.monotonic()
        async with httpx2.AsyncClient(
            base_url=self.url, headers=headers, timeout=120, limits=limits, trust_env=False
        ) as http:
            sending, looking = asyncio.Semaphore(UPLOADS), asyncio.Semaphore(LOOKS)

            async def one(path: Path) -> dict[str, Any]:
                async with sending:
                    job_id = await self._handed_in(http, path)
                return await self._ended(http, job_id, looking, began + WITHIN_S)

            jobs = await asyncio.gather(*(one(path) for _, path in talks))
            self.elapsed_s = time.monotonic() - began
            told = await http.get(f"{self.address.admin_url}/state")
        return list(jobs), told.json()

    async def _handed_in(self, http: httpx2.AsyncClient, path: Path) -> str:
        files = {"file": (path.name, await asyncio.to_thread(path.read_bytes), "audio/flac")}
        uploaded = await http.post("/v1/files", data={"purpose": "user_data"}, files=files)
        self.statuses[uploaded.status_code] += 1
        request = {
            "model": MODEL,
            "file_id": uploaded.json()["id"],
            "response_format": "verbose_json",
            "timestamp_granularities": ["segment", "word"],
        }
        asked = await http.post("/v1/jobs", json={"kind": "transcription", "request": request})
        self.statuses[asked.status_code] += 1
        return str(asked.json()["id"])

    async def _ended(
        self, http: httpx2.AsyncClient, job_id: str, looking: asyncio.Semaphore, late: float
    ) -> dict[str, Any]:
        while True:
            async with looking:
                answer = await http.get(f"/v1/jobs/{job_id}", params={"wait": 5})
            self.statuses[answer.status_code] += 1
            job: dict[str, Any] = answer.json()
            if job.get("status") in FINAL or time.monotonic() > late:
                return job
            await asyncio.sleep(0.2)


def _result(
    size: Size,
    talks: Sequence[tuple[Talk, Path]],
    story: Story,
    jobs: Sequence[dict[str, Any]],
    state: dict[str, Any],
) -> Result:
    spoken_s = sum(talk.seconds for talk, _ in talks)
    pairs = list(zip((talk for talk, _ in talks), jobs, strict=True))
    upstream = {name: one["total"] for name, one in state["providers"].items()}
    received = sum(one["received"] for one in upstream.values())
    refused = sum(one["answered_429"] for one in upstream.values())
    heard_s = sum(one["audio_seconds"] for one in upstream.values())
    span_s, there_s = _quota(size, upstream)
    figures: dict[str, Any] = {
        "files": len(jobs),
        "speed": size.speed,
        "spoken_s": round(spoken_s),
        "elapsed_s": round(story.elapsed_s, 1),
        "span_s": round(span_s, 1),
        "completed": sum(job.get("status") == "completed" for job in jobs),
        "errors": dict(Counter(_code(job) for job in jobs if job.get("status") != "completed")),
        "wrong_texts": sum(_text(job) != talk.text for talk, job in pairs),
        "not_monotone": sum(not monotone(job) for job in jobs),
        "words_off": sum(off(talk, job) for talk, job in pairs),
        "quota_share": round(heard_s / there_s, 6) if there_s else None,
        "quota_s": round(there_s),
        "heard_s": heard_s,
        "heard_twice_share": round(heard_s / spoken_s - 1, 6),
        "callers": {str(status): count for status, count in sorted(story.statuses.items())},
        "callers_429": story.statuses[429],
        "upstream_calls": received,
        "upstream_429_share": round(refused / max(1, received), 6),
        "upstream_s": {name: one["audio_seconds"] for name, one in upstream.items()},
    }
    return judged(
        "audio", figures, _lines(figures),
        ("files not completed", len(jobs) - figures["completed"], "<=", 0),
        ("quota used", figures["quota_share"], ">=", QUOTA),
        ("callers' 429s", figures["callers_429"], "<=", 0),
        ("merged texts that are not what was spoken", figures["wrong_texts"], "<=", 0),
        ("files whose times run back", figures["not_monotone"], "<=", 0),
        ("words not at their time", figures["words_off"], "<=", 0),
        ("upstream 429s", figures["upstream_429_share"], "<=", 0.005),
    )  # fmt: skip


def _quota(size: Size, upstream: dict[str, dict[str, Any]]) -> tuple[float, float]:
    """How long the providers were called, and the seconds of audio they could have heard then.

    Their windows refill: each has what it holds when it is full, and what came in since.
    """
    firsts = [one["first_at"] for one in upstream.values() if one["first_at"]]
    lasts = [one["last_answer_at"] for one in upstream.values()]
    span_s = max(lasts) - min(firsts) if firsts else 0.0
    hours = span_s * size.speed / HOUR_S
    return span_s, sum(hourly * (1 + hours) for hourly in size.hourly)


def _text(job: dict[str, Any]) -> str:
    return str((job.get("result") or {}).get("text"))


def _words(job: dict[str, Any]) -> list[dict[str, Any]]:
    return (job.get("result") or {}).get("words") or []


def monotone(job: dict[str, Any]) -> bool:
    """Whether words and segments of a result come one after the other."""
    result = job.get("result") or {}
    for listed in (result.get("words") or [], result.get("segments") or []):
        ends = 0.0
        for one in listed:
            if not ends - 1e-6 <= one["start"] <= one["end"]:
                return False
            ends = one["end"]
    return True


def off(talk: Talk, job: dict[str, Any]) -> int:
    """How many words of a talk are not told at their time, give or take `WORD_S`."""
    told = _words(job)
    if len(told) != len(talk.words):
        return max(len(told), len(talk.words))
    pairs = zip(talk.words, told, strict=True)
    return sum(abs(said.start_s - word["start"]) > WORD_S for said, word in pairs)


def _code(job: dict[str, Any]) -> str:
    return str((job.get("error") or {}).get("code") or job.get("status"))


def _lines(figures: dict[str, Any]) -> list[str]:
    return [
        (
            "heard           {completed} of {files} files, {spoken_s} s of speech in {elapsed_s} s"
            " at speed {speed:g}; callers' 429s {callers_429}, upstream's"
            " {upstream_429_share:.2%} of {upstream_calls}"
        ).format(**figures),
        (
            "quota           {quota_share:.1%} of {quota_s} s that there were in {span_s} s;"
            " {heard_twice_share:.1%} of it heard twice"
        ).format(**figures),
        (
            "truth           wrong texts {wrong_texts}, times that run back {not_monotone}, words"
            " not at their time {words_off}"
        ).format(**figures),
    ]
