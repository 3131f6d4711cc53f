"""What a step of a summary works with, and what it is about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.core.sharing import Policy
from shared.core.summary import Wish
from shared.kept import Kept
from shared.queue.types import Claim
from shared.routing import CatalogRouter
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from shared.wire.summaries import Shape, SummaryRequest, shape_of, wish_of
from workers.summaries.reading import Reader


@dataclass(frozen=True, slots=True)
class Tools:
    """A worker's own, shared by all steps. `count` counts tokens, `router` is the newest."""

    jobs: Jobs
    lanes: Lanes
    kept: Kept
    reader: Reader
    router: Callable[[], CatalogRouter]
    count: Callable[[str], int]
    cost_cap_microusd: int | None = None
    sharing: Policy = Policy()  # noqa: RUF009 - it is frozen


@dataclass(frozen=True, slots=True)
class Asked:
    """What a parent's document asks for."""

    doc: Mapping[str, Any]
    request: SummaryRequest
    wish: Wish
    shape: Shape | None

    @property
    def documents(self) -> "list[Mapping[str, Any]]":
        """As they are kept: see `shared.wire.summaries.stored`."""
        return list(self.doc["request"]["documents"])

    @property
    def home(self) -> tuple[str, tuple[str, ...]]:
        """Where the long texts of the request are kept, and their names there."""
        return self.doc.get("kept_as") or "", tuple((self.doc.get("kept") or {}).values())

    def kept(self, index: int) -> tuple[str, str] | None:
        """Where the long text of a document is kept, by job and name; None where it is not."""
        name = (self.doc.get("kept") or {}).get(str(index))
        return None if name is None else (self.doc["kept_as"], name)

    def title(self, index: int) -> str | None:
        """The title that the caller gave."""
        found = self.documents[index].get("title")
        return None if found is None else str(found)


def asked_of(claim: Claim) -> Asked:
    """What the claimed parent asks for; it was checked when it was accepted."""
    doc = orjson.loads(claim.doc)
    request = SummaryRequest.model_validate(doc["request"])
    return Asked(doc, request, wish_of(request), shape_of(request))
