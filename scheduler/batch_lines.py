"""A batch's lines one by one: what is wrong with a file's, and a job of each that is right."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from shared.batch_endpoints import ENDPOINTS
from shared.batch_lines import MAX_ERRORS, Line, Problem, Row, foreign, read
from shared.core.batch import Batch, job_id
from shared.core.features import Features
from shared.core.model import Kind, Paid, Priority
from shared.core.sharing import Policy
from shared.errors import Refused
from shared.likeness import sharing
from shared.queue.types import NewJob
from shared.store.types import LaneState
from shared.submission import Choice, Routes, Submission, document, routed
from shared.truncating import fitted

log = structlog.get_logger(__name__)

MOST_MODELS: Final = 500
MOVED_ON: Final = 500
INTERNAL: Final = "internal_error"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say about batches."""

    max_lines: int = 50_000
    paid: Paid = Paid.DEADLINE
    cost_cap_microusd: int | None = None
    sharing: Policy = Policy()  # noqa: RUF009 - it is frozen


class Look:
    """One look over a file: what is wrong with its lines, each named once."""

    def __init__(
        self, batch: Batch, router: Routes, lanes: Mapping[str, LaneState], limits: Limits
    ) -> None:
        self._batch, self._router, self._lanes, self._limits = batch, router, lanes, limits
        self._kind = ENDPOINTS[batch.endpoint].kind
        self._ids: set[bytes] = set()
        self._models: dict[str, Refused | None] = {}
        self._foreign = False
        self._named: str | None = None
        self._several = False
        self.lines = 0
        self.problems: list[Problem] = []

    @property
    def enough(self) -> bool:
        """Whether there is no point in looking further."""
        many = len(self.problems) >= MAX_ERRORS or self.lines > self._limits.max_lines
        return many or self._foreign

    @property
    def model(self) -> str | None:
        """The model that every line names; None where they name several."""
        return None if self._several else self._named

    def say(self, problem: Problem) -> None:
        """Notes a problem."""
        self.problems.append(problem)

    def at(self, row: Row) -> None:
        """Looks at one line."""
        self.lines += 1
        if self.lines > self._limits.max_lines:
            message = f"The file has more than {self._limits.max_lines} requests."
            self.problems.insert(0, Problem("too_many_requests_in_file", message, "input_file_id"))
            return
        if self.lines == 1 and (what := foreign(row.text)) is not None:
            self._foreign = True
            message = f"The input file is {what}; a batch's file holds one JSON object a line."
            self.say(Problem("invalid_file_format", message, "input_file_id"))
            return
        line = read(row, self._batch.endpoint)
        if isinstance(line, Problem):
            self.say(line)
            return
        name = hashlib.blake2b(line.custom_id.encode(), digest_size=16).digest()
        if name in self._ids:
            message = f"The custom_id '{line.custom_id}' is used by an earlier line."
            self.say(Problem("duplicate_custom_id", message, "custom_id", row.number))
        self._ids.add(name)
        model = line.body["model"]
        self._several = self._several or model != (self._named or model)
        self._named = model
        refused = self._known(model)
        if refused is not None:
            code = refused.code or "model_not_found"
            self.say(Problem(code, refused.message, "body.model", row.number))

    def _known(self, model: str) -> Refused | None:
        """Why nothing will ever serve this model; what may pass is no reason."""
        if model not in self._models and len(self._models) < MOST_MODELS:
            features = line_features(self._batch, self._limits, self._kind, model)
            try:
                self._router.route(features, self._batch.tenant, self._lanes, 0)
            except Refused as refused:
                lasting = refused.param == "model" and refused.status < MOVED_ON
                self._models[model] = refused if lasting else None
            else:
                self._models[model] = None
        return self._models.get(model)


def line_features(batch: Batch, limits: Limits, kind: Kind, model: str, **more: Any) -> Features:
    """What selection is to know of every line of a batch; `more` is what is the line's own."""
    return Features(
        kind=kind,
        model=model,
        allowed_models=None if batch.allowed_models is None else frozenset(batch.allowed_models),
        paid=Paid(batch.paid) if batch.paid else limits.paid,
        cost_cap_microusd=limits.cost_cap_microusd,
        priority=Priority.BULK,
        **more,
    )


class Maker:
    """Makes jobs of lines, all by one reading of the lanes."""

    def __init__(
        self,
        batch: Batch,
        router: Routes,
        lanes: Mapping[str, LaneState],
        limits: Limits,
        now_ms: int,
    ) -> None:
        self._batch, self._router, self._lanes = batch, router, lanes
        self._limits, self._now_ms = limits, now_ms
        self._endpoint = ENDPOINTS[batch.endpoint]

    def all(self, found: Sequence[Row]) -> "list[tuple[Line, NewJob | Refused]]":
        """A job for each line, or why it can be none."""
        return [self._one(row) for row in found]

    def _one(self, row: Row) -> "tuple[Line, NewJob | Refused]":
        line = read(row, self._batch.endpoint)
        if isinstance(line, Problem):  # it was right when the file was looked at
            return Line(row.number, "", {}), Refused(line.message, code=line.code)
        try:
            return line, self._job(line)
        except Refused as refused:
            return line, refused
        except Exception:
            # no line may stop the others: made again, it would fail again
            log.exception("batch_line_not_made", batch=self._batch.id, line=row.number)
            message = "This line could not be made a request: an error of ours, and logged."
            return line, Refused(message, status=500, type_="server_error", code=INTERNAL)

    def _job(self, line: Line) -> NewJob:
        batch = self._batch
        asked = fitted(self._endpoint.read(line.body), self._choice)
        choice = self._choice(asked)
        features = choice.features
        doc = document(asked, choice, batch.weight, batch.sharing)
        about = {"batch": batch.id, "custom_id": line.custom_id}
        return NewJob(
            id=job_id(batch.id, line.number),
            tenant=batch.tenant,
            kind=asked.kind,
            priority=Priority.BULK,
            lane=choice.route.first,
            candidates=choice.route.lanes,
            paid_lanes=choice.route.paid_lanes,
            need=choice.need,
            doc=orjson.dumps(doc | about),
            weight=batch.weight,
            deadline_ms=features.deadline_ms,
            batch=(batch.id, line.custom_id),
            sharing=sharing(
                self._limits.sharing,
                batch.sharing,
                asked.endpoint,
                asked.request,
                batch.tenant,
                features,
                content=asked.content,
            ),
        )

    def _choice(self, asked: Submission) -> Choice:
        batch = self._batch
        features = line_features(
            batch,
            self._limits,
            asked.kind,
            asked.model,
            input_tokens=asked.need.input_tokens,
            max_output_tokens=asked.max_output_tokens,
            inputs=asked.need.inputs,
            capabilities=asked.capabilities,
            deadline_ms=max(1, batch.expires_ms - self._now_ms),
            request_type=asked.request_type,
        )
        return routed(self._router, features, asked.need, batch.tenant, self._lanes, self._now_ms)
