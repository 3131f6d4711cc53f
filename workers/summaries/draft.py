"""What one step of a summary makes of its state.

All that a step finds out is in its report, which is applied in one call or not at all. What it
keeps outside is written under names of its own (its fence), so a step whose worker was taken for
dead harms none that came after it.
"""

from typing import Final

import structlog

from shared.core import summary_prompts
from shared.core.summary import Sizes, sizes
from shared.core.summary_results import error
from shared.core.summary_work import Call, State, Work, failed
from shared.errors import Refused
from shared.queue.types import Claim, NewJob
from workers.summaries.calls import Calls
from workers.summaries.tools import Asked, Tools

log = structlog.get_logger(__name__)

PASSING: Final = 500  # refusals from here on may pass
MOST_OUT: Final = 64  # calls of one summary at once
CALL_TOKENS: Final = 96  # what a call holds beside what is counted: marks, a title, numbers


class Draft:
    """A step's state as it changes, and what comes with it.

    `jobs` are the children it makes, `dropped` the ids of those that nobody waits for any more;
    `blocked` says why no more can be made now, which may pass.
    """

    def __init__(
        self, tools: Tools, claim: Claim, asked: Asked, calls: Calls, state: State
    ) -> None:
        self.tools = tools
        self.claim = claim
        self.asked = asked
        self.calls = calls
        self.state = state
        self.jobs: list[NewJob] = []
        self.dropped: list[str] = []
        self.blocked: Refused | None = None
        self._kept = 0
        self._sizes: Sizes | None = None
        self._in_words: bool | None = None

    async def keep(self, data: bytes) -> str:
        """Keeps a text, and returns its name."""
        self._kept += 1
        name = f"{self.claim.fence}-{self._kept}"
        await self.tools.kept.put(self.claim.job_id, name, data)
        return name

    async def kept(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """A text that an earlier step kept, or a part of it."""
        return await self.tools.kept.get(self.claim.job_id, name, start, end)

    def put(self, work: Work) -> None:
        """With the document changed; calls that nobody waits for any more are given up."""
        before = {call.id for call in self.state.calls}
        self.state = self.state.put(work)
        self.dropped += sorted(before - {call.id for call in self.state.calls})

    def fail(self, work: Work, message: str, code: str) -> None:
        """Gives a document up; the others go on."""
        log.info("document_failed", job_id=self.claim.job_id, document=work.index, code=code)
        self.put(failed(work, error(message, code, work.index)))

    def refuse(self, work: Work, refused: Refused) -> None:
        """A call of a document that cannot be made: its document fails, or all wait."""
        if refused.status >= PASSING:
            self.blocked = refused
        else:
            self.fail(work, refused.message, refused.code or "refused")

    def in_words(self) -> bool:
        """Whether the schema is told in words: nobody who may answer takes it as a parameter."""
        if self._in_words is None:
            wanted = self.asked.shape is not None
            self._in_words = wanted and not self.calls.rooms(schema=True)
        return self._in_words

    def sizes(self) -> Sizes:
        """What fits into a call. Refused where nothing does."""
        if self._sizes is None:
            schema = self.asked.shape is not None and not self.in_words()
            rooms = self.calls.rooms(schema=schema)
            self._sizes = sizes(rooms, self.asked.wish, self._overhead())
        if self._sizes is None:
            self.calls.refuse_if_none()
            raise Refused("no model of that name takes enough text", code="context_too_small")
        return self._sizes

    def _overhead(self) -> int:
        """The tokens of a call beside its text."""
        said = summary_prompts.last(self.asked.wish, None, "", read="notes", in_words=True)
        return CALL_TOKENS + sum(self.tools.count(message["content"]) for message in said)


def of_part(work: Work, call: Call, message: str) -> str:
    """What is said of one piece of a document."""
    if call.piece < 0 or work.pieces < 2:  # noqa: PLR2004 - parts begin with two
        return message
    return f"part {call.piece + 1} of {work.pieces}: {message}"
