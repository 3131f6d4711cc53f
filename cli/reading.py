"""Reading one job as it happens: its text on stdout as it comes, remarks on stderr."""

import sys
from typing import Any

import orjson

from cli import codes, show
from cli.client import Api
from cli.codes import Unreachable
from cli.plain import write
from cli.sse import ServerEvent


def delta(chunk: Any) -> str:
    """The text that an OpenAI chunk adds."""
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if not choices or not isinstance(choices[0], dict):
        return ""
    return str((choices[0].get("delta") or {}).get("content") or "")


def payload(event: ServerEvent) -> dict[str, Any]:
    """An event's data as an object; {} if it is none."""
    try:
        data = orjson.loads(event.data)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


async def read_job(api: Api, job_id: str, *, remarks: bool = True) -> int:
    """Prints a job's answer as it comes; returns the exit code that tells how it ended.

    What was said before a restart on another provider is said again after a remark.
    """
    err = show.err()
    said = ""

    def lost(exc: Unreachable) -> None:
        if remarks:
            err.print(f"(connection lost, going on: {exc})")

    async for event in api.follow(job_id, lost=lost):
        data = payload(event)
        match event.event:
            case "job.delta":
                text = delta(data)
                said += text
                write(text)
                sys.stdout.flush()
            case "job.requeued" | "job.moved" if remarks:
                if said:
                    sys.stdout.write("\n")
                err.print(f"({remark(event.event, data)})")
                said = ""
            case _:
                pass
    job = await api.job(job_id)
    if not said:
        write(show.answer(job))
    sys.stdout.write("\n")
    sys.stdout.flush()
    if job.get("status") == "completed":
        if remarks:
            err.print(f"({show.deployment(job) or '?'}, {job_id})")
        return codes.OK
    err.print(f"{job.get('status')}: {show.error(job) or 'no reason given'}")
    return codes.FAILED


def remark(event: str, data: dict[str, Any]) -> str:
    """An event in words: `job.moved` and what it says."""
    words = ", ".join(f"{k} {v}" for k, v in data.items() if isinstance(v, str | int | float))
    words = words or show.progress(data)
    return f"{event.removeprefix('job.')}: {words}" if words else event.removeprefix("job.")
