"""How a watched job stands, told beside its events: its waits, its places, the time left."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from cli import show
from cli.client import FINAL_STATUSES, Api
from cli.telling import Standing, Teller
from shared.errors import GatewayError

FIRST_LOOK_S: Final = 1.0
LOOK_EVERY_S: Final = 2.0
SHOWN_PLACES: Final = 3
PARTS: Final = 100


def standing(job: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> Standing:
    """A job as it stands; `parts` are those of its children that run."""
    children = (job.get("progress") or {}).get("children") or {}
    running = parts if children else [job] if job.get("status") == "in_progress" else []
    places = Counter(filter(None, map(show.deployment, running)))
    waiting = job.get("waiting") or {}
    left_s = show.eta_s(waiting.get("eta"))
    waits = show.waiting({"waiting": waiting | {"eta": None, "message": None}}) or None
    words = [
        str(job.get("status")),
        f"{len(running)} of its parts run" if children else "",
        "on " + ", ".join(n for n, _ in places.most_common(SHOWN_PLACES)) if places else "",
        f"waits for {waits}" if waits else "",
        f"about {show.span(left_s)} left" if left_s is not None else "",
    ]
    return Standing(
        done=children.get("ended", 0),
        total=children.get("total", 1),
        words=", ".join(filter(None, words)),
        state=str(job.get("status")),
        waits=waits,
        facts={"job": job.get("id"), "running_on": dict(places), "left_s": left_s},
    )


@asynccontextmanager
async def told(api: Api, job_id: str, *, as_json: bool) -> AsyncIterator[None]:
    """While it is open, stderr tells how the job stands whenever that is something new."""
    err = show.err()
    teller = Teller(lambda line: err.print(line, soft_wrap=True), as_json=as_json)
    task = asyncio.create_task(_look(api, job_id, teller))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _look(api: Api, job_id: str, teller: Teller) -> None:
    await asyncio.sleep(FIRST_LOOK_S)
    while True:
        with contextlib.suppress(GatewayError):
            job = await api.job(job_id)
            if job.get("status") in FINAL_STATUSES:
                return
            parts: Sequence[Mapping[str, Any]] = ()
            if job.get("progress"):
                page = await api.get("/v1/jobs", parent=job_id, status="in_progress", limit=PARTS)
                parts = page.get("data") or ()
            teller.stands(standing(job, parts))
        await asyncio.sleep(LOOK_EVERY_S)
