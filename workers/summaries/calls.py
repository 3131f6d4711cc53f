"""The calls of a summary: chats of its tenant, as it would have handed them in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared import submission
from shared.core.features import Features
from shared.core.model import Kind, Paid
from shared.core.rooms import Room
from shared.core.sharing import Policy, ShareMode, Sharing, Wish
from shared.likeness import sharing
from shared.queue.types import Claim, NewJob
from shared.routing import CatalogRouter
from shared.store.types import LaneState

JSON_SCHEMA: Final = "json_schema"
TYPE: Final = "summarization"


@dataclass(frozen=True, slots=True)
class Family:
    """What the children of a summary have of their parent: `doc` is the parent's document.

    `sharing` is what the settings say of equal calls.
    """

    claim: Claim
    doc: Mapping[str, Any]
    spent_microusd: int
    cost_cap_microusd: int | None = None  # of any one call
    sharing: Policy = Policy()  # noqa: RUF009 - it is frozen

    @property
    def wishes(self) -> Mapping[str, Any]:
        """What else the caller's key and body said."""
        return self.doc.get("family") or {}

    def shares(self, request: Mapping[str, Any], features: Features) -> Sharing | None:
        """What a call may share: equal pieces of two documents are read once, as summaries are."""
        share = ShareMode(self.wishes.get("share") or self.sharing.share)
        if share is ShareMode.AUTO:
            share = ShareMode.ALWAYS
        wish = Wish(share, self.wishes.get("cache_s"))
        asked = submission.CHAT
        return sharing(self.sharing, wish, asked, request, self.claim.tenant, features)

    def features(self, capabilities: frozenset[str] = frozenset(), **more: Any) -> Features:
        """What selection is to know of every call."""
        allowed = self.wishes.get("allowed_models")
        cap = (self.doc.get("policy") or {}).get("max_cost_usd")
        left = None if cap is None else max(0, int(cap * 1e6) - self.spent_microusd)
        caps = [each for each in (left, self.cost_cap_microusd) if each is not None]
        return Features(
            kind=Kind.CHAT,
            model=self.doc["model"],
            capabilities=capabilities,
            allowed_models=None if allowed is None else frozenset(allowed),
            paid=Paid(self.doc.get("paid") or Paid.NEVER.value),
            cost_cap_microusd=min(caps, default=None),
            priority=self.claim.priority,
            mode=self.wishes.get("mode"),
            request_type=self.doc.get("type") or TYPE,
            **more,
        )


class Calls:
    """Makes children by one reading of the lanes."""

    def __init__(
        self,
        family: Family,
        router: CatalogRouter,
        lanes: Mapping[str, LaneState],
        now_ms: int,
    ) -> None:
        self._family = family
        self._router = router
        self._lanes = lanes
        self._now_ms = now_ms

    def rooms(self, *, schema: bool) -> tuple[Room, ...]:
        """How much a call takes, over all lanes that may serve it."""
        needed = frozenset({JSON_SCHEMA} if schema else ())
        return self._router.rooms(self._family.features(needed), self._family.claim.tenant)

    def refuse_if_none(self) -> None:
        """Refused where not even the shortest call can be served, and why."""
        asked = self._family.features(input_tokens=1)
        self._router.route(asked, self._family.claim.tenant, self._lanes, self._now_ms)

    def job(self, child_id: str, request: dict[str, Any], *, anew: bool = False) -> NewJob:
        """A call as a job, `anew` where an answer that is kept will not do.

        Refused where nothing can serve it.
        """
        family, claim = self._family, self._family.claim
        raw = orjson.dumps(request)
        asked = submission.chat(request, raw)
        deadline_ms = None
        if claim.deadline_ms is not None:
            deadline_ms = max(1, claim.deadline_ms - self._now_ms)
        features = family.features(
            asked.capabilities,
            input_tokens=asked.need.input_tokens,
            max_output_tokens=asked.max_output_tokens,
            deadline_ms=deadline_ms,
        )
        choice = submission.routed(
            self._router, features, asked.need, claim.tenant, self._lanes, self._now_ms
        )
        doc = submission.document(asked, choice)
        if policy := family.doc.get("policy"):
            doc["policy"] = {k: v for k, v in policy.items() if k != "max_cost_usd"}
        return NewJob(
            id=child_id,
            tenant=claim.tenant,
            kind=Kind.CHAT,
            priority=claim.priority,
            lane=choice.route.first,
            candidates=choice.route.lanes,
            paid_lanes=choice.route.paid_lanes,
            need=choice.need,
            doc=orjson.dumps(doc),
            weight=int(family.wishes.get("weight") or 1),
            deadline_ms=deadline_ms,
            parent=claim.job_id,
            sharing=None if anew else family.shares(request, features),
        )
