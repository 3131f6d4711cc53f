"""Part 1: a real model on this machine, real texts, bulk work with a conversation in between."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from cli import show
from cli.chat import DONE
from cli.client import HELD_S, Api, Place
from cli.demo import measure, texts
from cli.demo.pace import STILL_S, Pace
from cli.engines import found
from cli.prompts import Ask
from cli.reading import delta, payload
from cli.tracker import Tracked, Tracker
from shared.errors import GatewayError

MOST_PACKAGES = 16
LEAST_PACKAGES = 6
WORK_S = 40.0
CHARS = 900
ANSWER_TOKENS = 48
CHAT_TOKENS = 32
MODEL = found.CHAT.model
QUESTION = "In one sentence: what is a queue?"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Chat:
    """The conversation that came in between."""

    text: str
    queue_s: int | None
    first_token_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What part 1 came to. `refused` counts the 429s this caller saw."""

    jobs: tuple[Tracked, ...]
    chat: Chat | None
    wall_s: float
    refused: int


def asks(number: int = MOST_PACKAGES) -> list[Ask]:
    """A bulk job for each of the first packages."""
    return [bulk(each) for each in texts.descriptions()[:number]]


def affordable(place: Place) -> int:
    """How many summaries this machine can write in about 40 s, by the time one takes: 6 to 16.

    GatewayError if it does not write one.
    """
    body = dict(asks(1)[0].body["request"])
    began = time.monotonic()
    try:
        answer = httpx2.post(
            f"{place.url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {place.key}"},
            timeout=STILL_S,
            trust_env=False,
        )
        answer.raise_for_status()
    except httpx2.HTTPError as exc:
        raise GatewayError(f"the local engine does not answer: {exc}") from exc
    took_s = time.monotonic() - began
    return max(LEAST_PACKAGES, min(MOST_PACKAGES, int(WORK_S / took_s)))


def bulk(description: texts.Description, model: str = MODEL) -> Ask:
    """One summary as a bulk job."""
    short = texts.Description(description.package, texts.cut(description.text, CHARS))
    body = {
        "kind": "chat",
        "priority": "bulk",
        "request": texts.request(short, model, ANSWER_TOKENS),
    }
    return Ask(description.package, body)


async def run(place: Place, work: list[Ask], say: Say, pace: Pace) -> Outcome:
    """Hands in the bulk work, chats while it runs, and waits for its end."""
    heard: list[str] = []
    started = asyncio.Event()
    async with Api(place) as api:

        def ended(job: Tracked) -> None:
            started.set()
            if job.status == "completed":
                say(f"  {tracker.done:>2}/{len(tracker.jobs)}  {job.ask.label}")
            else:
                say(f"  {job.status}: {job.ask.label}: {job.refusal or show.error(job.doc)}")

        tracker = Tracker(api, work, ended=ended)
        pace.moved = lambda: (len(tracker.by_id), tracker.done, len(heard))
        began = time.monotonic()
        await tracker.submit()
        say(f"  {len(tracker.jobs)} bulk jobs handed in, in {show.span(time.monotonic() - began)}")
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(_talk(api, started, heard, say))
            group.create_task(tracker.follow())
        wall_s = time.monotonic() - began
        return Outcome(tuple(tracker.jobs), talking.result(), wall_s, api.statuses[429])


async def _talk(api: Api, started: asyncio.Event, heard: list[str], say: Say) -> Chat | None:
    """Once the first bulk job is done: a held, streamed chat; `heard` gets its parts."""
    await started.wait()
    waiting = sum(measure.depths(await api.get("/v1/queues")).values())
    request = {
        "model": MODEL,
        "stream": True,
        "max_tokens": CHAT_TOKENS,
        "temperature": 0.1,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    began, first = time.monotonic(), 0.0
    async with api.stream("POST", "/v1/chat/completions", json=request, quiet_s=HELD_S) as (
        headers,
        events,
    ):
        async for event in events:
            if event.data == DONE:
                break
            if (part := delta(payload(event))) and not first:
                first = time.monotonic() - began
            heard.append(part)
    total_s = time.monotonic() - began
    say(f"  chat   {QUESTION} → {show.span(first)} to the first word, before {waiting} bulk jobs")
    waited = measure.waits_s([await api.job(headers["x-headrace-job-id"])])
    queue_s = int(waited[0]) if waited else None
    text = "".join(heard).strip()
    return Chat(text, queue_s, first, total_s) if text else None


def report(outcome: Outcome, say: Say) -> list[str]:
    """Says how it went; returns the reasons why it did not go well."""
    docs = [job.doc for job in outcome.jobs]
    done = [doc for doc in docs if doc.get("status") == "completed"]
    waits = measure.waits_s(done)
    tokens = measure.output_tokens(docs)
    say(f"  jobs            {len(done)} of {len(docs)} completed in {show.span(outcome.wall_s)}")
    ran = ", ".join(f"{name}: {n}" for name, n in measure.where(docs).items()) or "nowhere"
    say(f"  ran on          {ran}")
    if waits:
        say(f"  bulk waits      median {waits[len(waits) // 2]:.0f} s, longest {waits[-1]:.0f} s")
    if outcome.chat is not None:
        chat = outcome.chat
        queued = "?" if chat.queue_s is None else f"{chat.queue_s} s"
        say(
            f"  chat in between {queued} in the queue, first word after"
            f" {show.span(chat.first_token_s)}, whole in {show.span(chat.total_s)}"
        )
    say(f"  tokens          {tokens} written, {tokens / outcome.wall_s:.1f} a second")
    say(f"  429s callers    {outcome.refused}")
    say("")
    say("  Samples. A model of 135M parameters invents things; its words are no facts:")
    for doc, job in [(j.doc, j) for j in outcome.jobs if j.status == "completed"][:3]:
        say(f"    {job.ask.label}: {' '.join(show.answer(doc).split())[:300]}")
    if outcome.chat is not None:
        say(f"    (chat) {' '.join(outcome.chat.text.split())[:300]}")
    return _reasons(outcome, len(done))


def _reasons(outcome: Outcome, done: int) -> list[str]:
    reasons = []
    if done != len(outcome.jobs) or not done:
        reasons.append(f"{len(outcome.jobs) - done} of {len(outcome.jobs)} jobs did not complete")
    if outcome.chat is None:
        reasons.append("the chat in between got no answer")
    if outcome.refused:
        reasons.append(f"a caller saw {outcome.refused} times 429")
    return reasons
