"""Questions to a simulated provider, and whether an answer is that question's."""

from collections.abc import Callable

import orjson

from bench.client import Answer, Client
from bench.load import Call
from simulator.answers import digest

MODEL = "sim-small"
OK = 200


def question(run: str, index: int) -> str:
    """A question with an id that the simulator counts."""
    return f"[[id:{run}-{index}]] What turns the wheel?"


def body(text: str, *, stream: bool = False) -> bytes:
    """A chat of one message."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 64}
    return orjson.dumps(asked | ({"stream": True} if stream else {}))


def job_body(text: str) -> bytes:
    """The same as a job."""
    return b'{"kind":"chat","priority":"normal","request":%s}' % body(text)


def belongs(answer: Answer, text: str) -> bool:
    """Whether a 200 carries the answer to this question."""
    return f"sim-{digest(text)}".encode() in answer.body


def held(client: Client, run: str) -> Call:
    """Calls that hold a chat each."""

    async def call(index: int) -> int:
        text = question(run, index)
        answer = await client.post("/chat/completions", body(text))
        return answer.status if answer.status != OK or belongs(answer, text) else 0

    return call


def submitted(client: Client, run: str, keep: Callable[[str], None] | None = None) -> Call:
    """Calls that hand in a job each; `keep` is told its id."""

    async def call(index: int) -> int:
        answer = await client.post("/jobs", job_body(question(run, index)))
        if keep is not None and answer.status < 300:  # noqa: PLR2004 - any success
            keep(answer.headers["location"].rpartition("/")[2])
        return answer.status

    return call
