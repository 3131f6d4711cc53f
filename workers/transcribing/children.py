"""The parts of a recording as jobs: each is routed as if its caller had handed it in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from shared import submission
from shared.core.audio_work import Piece
from shared.core.cutting import longest_ms, whole_ms
from shared.core.features import Features
from shared.core.model import Kind, Paid, lane_deployment
from shared.core.sharing import Policy, ShareMode, Wish
from shared.errors import Refused
from shared.likeness import sharing
from shared.needs import transcription_need
from shared.queue.types import Claim, NewJob
from shared.routing import CatalogRouter, Route
from shared.store.types import LaneState
from shared.submission import Choice
from shared.wire.transcriptions import DIARIZED, SPEAKERS, TRANSLATE

TARGET_MS: Final = 600_000
LEAST_MS: Final = 60_000
TYPE: Final = "audio/flac"
WHOLE_MS: Final = 3_600_000
"""Who speaks is told best by who hears all of it: parts are as long as anybody takes, and so long
at most, which bounds what a worker holds."""
PASSED_ON: Final = ("task", "language", "prompt", "temperature", *SPEAKERS)
GRAINS: Final = ("segment", "word")  # asked of every part: they are what parts are joined by
AGAIN_MS: Final = 2_000  # before a part that failed everywhere is tried again; doubled each time


@dataclass(frozen=True, slots=True)
class Family:
    """A parent, and one reading of the lanes: what its children are made by.

    `spent_microusd` is what its children have cost so far, `cap_microusd` what one job may at most,
    `sharing` what the settings say of parts that were heard before.
    """

    claim: Claim
    doc: Mapping[str, Any]
    router: CatalogRouter
    lanes: Mapping[str, LaneState]
    now_ms: int
    spent_microusd: int = 0
    cap_microusd: int | None = None
    sharing: Policy = Policy()  # noqa: RUF009 - it is frozen

    @property
    def request(self) -> dict[str, Any]:
        """What the caller asked."""
        request: dict[str, Any] = self.doc["request"]
        return request

    def most_ms(self) -> int:
        """How long parts may be. Refused where nothing can transcribe any more."""
        taken = self.router.lengths_ms(self._features(), self.claim.tenant)
        if not taken:
            self._route(self._features(audio_seconds=1))
        able = [most for most in taken if most > 0]
        if self.diarized:
            return max(1_000, whole_ms(able, WHOLE_MS))
        return max(1_000, longest_ms(able, TARGET_MS, LEAST_MS))

    @property
    def streamed(self) -> bool:
        """Whether somebody is told what was heard part by part; who speaks is told at the end."""
        return bool(self.doc.get("stream")) and not self.diarized

    @property
    def diarized(self) -> bool:
        """Whether it is to be told who speaks."""
        return self.request.get("response_format") == DIARIZED

    def child(self, child_id: str, piece: Piece, number: int) -> NewJob:
        """A part as a job. Refused where nothing can serve it."""
        seconds = piece.length_ms / 1000
        features = self._features(audio_seconds=math.ceil(seconds), audio_bytes=piece.size)
        route = _without(self._route(features), piece)
        request = self._part(piece, number, seconds)
        made = submission.transcription(request, b"")
        doc = submission.document(made, Choice(features, transcription_need(seconds), route))
        doc.pop("family")
        policy = self.doc.get("policy") or {}
        if kept := {name: wish for name, wish in policy.items() if name != "max_cost_usd"}:
            doc["policy"] = kept
        anew = lane_deployment(route.first) not in piece.left_out
        return NewJob(
            id=child_id,
            tenant=self.claim.tenant,
            kind=Kind.TRANSCRIPTION,
            priority=self.claim.priority,
            lane=route.first,
            candidates=route.lanes,
            paid_lanes=route.paid_lanes,
            need=transcription_need(seconds),
            doc=orjson.dumps(doc),
            weight=int(self._wishes.get("weight") or 1),
            deadline_ms=features.deadline_ms,
            delay_ms=0 if anew else AGAIN_MS << piece.tries,
            parent=self.claim.job_id,
            sharing=sharing(
                self.sharing,
                self._wish(),
                submission.TRANSCRIPTIONS,
                request,
                self.claim.tenant,
                features,
                content=piece.digest,
            ),
        )

    def elsewhere(self, piece: Piece) -> bool:
        """Whether a part may be tried where it was not tried yet."""
        features = self._features(
            audio_seconds=math.ceil(piece.length_ms / 1000), audio_bytes=piece.size
        )
        try:
            route = self._route(features)
        except Refused:
            return False
        lanes = (*route.lanes, *route.paid_lanes)
        return any(lane_deployment(lane) not in piece.left_out for lane in lanes)

    def _part(self, piece: Piece, number: int, seconds: float) -> dict[str, Any]:
        """What the worker of a part reads: see workers/sounds.py."""
        request = {
            "object": piece.name,
            "filename": f"part-{number:03d}.flac",
            "content_type": TYPE,
            "seconds": seconds,
            "digest": piece.digest,
            "model": self.request["model"],
            "response_format": "verbose_json",
            "timestamp_granularities": list(GRAINS),
        }
        asked = {
            name: self.request[name] for name in PASSED_ON if self.request.get(name) is not None
        }
        if self.diarized:
            asked["response_format"] = DIARIZED
        if self.diarized or asked.get("task") == TRANSLATE:
            del request["timestamp_granularities"]
        chunking = self.request.get("chunking_strategy")
        if isinstance(chunking, dict) and len(chunking) > 1:  # more than that it is to be done
            asked["chunking_strategy"] = chunking
        return request | asked

    @property
    def _wishes(self) -> Mapping[str, Any]:
        return self.doc.get("family") or {}

    def _features(self, **more: Any) -> Features:
        """What selection is to know of every part."""
        allowed, claim = self._wishes.get("allowed_models"), self.claim
        deadline_ms = claim.deadline_ms
        return Features(
            kind=Kind.TRANSCRIPTION,
            model=self.request["model"],
            capabilities=submission.transcription(self.request, b"").capabilities,
            allowed_models=None if allowed is None else frozenset(allowed),
            paid=Paid(self.doc.get("paid") or Paid.NEVER.value),
            cost_cap_microusd=self._left_microusd(),
            priority=claim.priority,
            mode=self._wishes.get("mode"),
            deadline_ms=None if deadline_ms is None else max(1, deadline_ms - self.now_ms),
            **more,
        )

    def _wish(self) -> Wish:
        share, cache_s = self._wishes.get("share"), self._wishes.get("cache_s")
        return Wish(None if share is None else ShareMode(share), cache_s)

    def _left_microusd(self) -> int | None:
        asked_usd = (self.doc.get("policy") or {}).get("max_cost_usd")
        caps = [] if self.cap_microusd is None else [self.cap_microusd]
        caps += [] if asked_usd is None else [int(asked_usd * 1e6)]
        return max(0, min(caps) - self.spent_microusd) if caps else None

    def _route(self, features: Features) -> Route:
        return self.router.route(features, self.claim.tenant, self.lanes, self.now_ms)


def _without(route: Route, piece: Piece) -> Route:
    """The route with what the part was not tried on yet first; as it is where that is nothing.

    What refused it is left out. What was in trouble stays, after the others: else a part waited
    for good on the one that is left, where that does not answer and those do again.
    """
    tried = piece.left_out
    lanes = tuple(lane for lane in route.lanes if lane_deployment(lane) not in tried)
    paid = tuple(lane for lane in route.paid_lanes if lane_deployment(lane) not in tried)
    if not lanes and not paid:
        return route
    again = tuple(lane for lane in route.lanes if lane_deployment(lane) in piece.again)
    kept = (lanes or paid) + again
    first = route.first if route.first in (*lanes, *paid) else kept[0]
    return replace(route, first=first, lanes=kept, paid_lanes=paid if lanes else ())
