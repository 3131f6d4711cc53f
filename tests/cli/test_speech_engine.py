"""The speech engine's manners, with an ear that hears what the test wants."""

import asyncio
import json
import threading

from cli.engines import speech

KEY = "k"
FORM = b"\r\n".join(
    [b"--b", b'Content-Disposition: form-data; name="file"; filename="a"', b"", b"sound", b"--b--"]
)
HEADERS = [
    (b"authorization", b"Bearer k"),
    (b"content-type", b"multipart/form-data; boundary=b"),
    (b"content-length", str(len(FORM)).encode()),
]


def heard(text):
    return {"text": text, "usage": {"type": "duration", "seconds": 1}}


class Caller:
    """One request to the application, spoken by hand; `leave` is what ends a connection."""

    def __init__(self, app):
        self.events = asyncio.Queue()
        self.events.put_nowait({"type": "http.request", "body": FORM, "more_body": False})
        self.said = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/audio/transcriptions",
            "query_string": b"",
            "headers": HEADERS,
        }
        self.task = asyncio.create_task(app(scope, self.events.get, self._send))

    async def _send(self, message):
        self.said.append(message)

    def leave(self):
        self.events.put_nowait({"type": "http.disconnect"})

    async def answer(self):
        await self.task
        body = b"".join(each.get("body", b"") for each in self.said[1:])
        return self.said[0]["status"], body


async def test_who_goes_away_frees_the_engine_at_the_next_segment():
    begun = threading.Event()

    def hear(audio, _asked, stopped):
        assert audio == b"sound"
        begun.set()
        while not stopped():
            threading.Event().wait(0.001)
        raise speech.Stopped

    caller = Caller(speech.app(hear, KEY))
    await asyncio.to_thread(begun.wait)
    caller.leave()
    assert (await caller.answer())[0] == 499


async def test_one_is_heard_at_a_time_four_wait_and_the_next_is_sent_away():
    go, now, most = threading.Event(), [], []

    def hear(_audio, _asked, _stopped):
        now.append(1)
        most.append(len(now))
        go.wait()
        now.pop()
        return heard("well")

    app = speech.app(hear, KEY)
    callers = [Caller(app) for _ in range(speech.MOST_WAITING + 2)]
    await asyncio.wait([caller.task for caller in callers], return_when=asyncio.FIRST_COMPLETED)
    (turned_away,) = [caller for caller in callers if caller.task.done()]
    status, body = await turned_away.answer()
    assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
    assert (b"retry-after", b"5") in turned_away.said[0]["headers"]
    go.set()
    for caller in callers:
        if caller is not turned_away:
            assert (await caller.answer())[0] == 200
    assert set(most) == {1}
    assert len(most) == speech.MOST_WAITING + 1
