"""The way of a stream's chunks to the caller, and what is known of them where the stream breaks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from shared.core.model import Usage
from shared.core.outcome import OnBreak
from workers import continuing
from workers.continuing import NOTHING, Seam, Told
from workers.hedging import Gate
from workers.providers.base import Call
from workers.reporting import Progress

DELTA_EVENT = "job.delta"


@dataclass(slots=True)
class Telling:
    """Tells one attempt's chunks. `keep`: they are needed again where the stream breaks.

    `before` is what earlier attempts told, `seam` joins this one to it. Of two calls of an attempt
    the `gate` lets one speak.
    """

    emit: Callable[[str, bytes], Awaitable[None]]
    now_ms: Callable[[], int]
    progress: Progress
    keep: bool = False
    before: Told = NOTHING
    seam: Seam | None = None
    gate: Gate | None = None
    chunks: list[bytes] = field(default_factory=list)

    async def tell(self, chunk: bytes) -> None:
        """Passes a chunk on; nothing where it only repeats what was told before."""
        joined = chunk if self.seam is None else self.seam.join(chunk)
        if joined is None:
            return
        if self.gate is not None:
            await self.gate.enter(self)
        if self.progress.first_delta_ms is None:
            self.progress.first_delta_ms = self.now_ms()
        if self.keep:
            self.chunks.append(joined)
        await self.emit(DELTA_EVENT, joined)

    def broke(self, call: Call, on_break: OnBreak, *, earlier: bool) -> None:
        """Notes what becomes of the deltas that the caller has, from this attempt or `earlier`."""
        progress = self.progress
        if not earlier and progress.first_delta_ms is None:
            return
        progress.streamed = True
        progress.resume = {"on_break": str(on_break)}
        if on_break is not OnBreak.CONTINUE:
            return
        told = continuing.told_of((*self.before.chunks, *self.chunks), call.request)
        progress.obstacle = told.obstacle
        progress.resume["continued_from"] = len(told.text)
        if self.chunks:
            output = call.count(told.spoken[len(self.before.spoken) :])
            progress.spent = Usage(call.input_tokens, output, estimated=True)
