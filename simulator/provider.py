"""One running provider: its ledger, faults and counts, and the calls it takes."""

import math
import random
from itertools import count

import orjson

from simulator import delivery, refusals
from simulator.clock import NowUs
from simulator.config import Key, Model, SimulatedProvider
from simulator.exchange import BodyTooLargeError, ClientGoneError, Exchange
from simulator.faults import AFTER_QUOTA, BEFORE_BODY, BEFORE_QUOTA, FaultBook, FaultKind, FaultSpec
from simulator.ledger import Account, Counters, Ledger
from simulator.markers import Markers, Seen, marker_in
from simulator.replies import Reply, compose
from simulator.requests import (
    BadRequestError,
    ChatCall,
    EmbeddingCall,
    parse_chat,
    parse_embedding,
    parse_object,
)

Call = ChatCall | EmbeddingCall
_NO_REPLY = Reply("", "", 0, "stop")


class Provider:
    """A provider at work. All spans given to it are simulated and divided by `speed`."""

    def __init__(
        self, spec: SimulatedProvider, speed: float, now_us: NowUs, markers: Markers
    ) -> None:
        self.spec = spec
        self.speed = speed
        self.now_us = now_us
        self.markers = markers
        self.numbers = count(1)
        self.models: dict[str, Model] = {model.id: model for model in spec.models}
        self._keys: dict[str, Key] = {key.key: key for key in spec.keys}
        self.reset()

    def reset(self) -> None:
        """Start afresh: full windows, no faults, counts at zero."""
        self.ledger = Ledger(self.spec, self.speed)
        self.faults = FaultBook(self.now_us)
        self.strangers = Counters()
        self._latency = random.Random(self.spec.latency.seed)

    def key_of(self, exchange: Exchange) -> Key | None:
        """The key a request shows, if it is one of this provider's."""
        for name, value in exchange.headers:
            if name == b"authorization":
                return self._keys.get(value.decode("latin-1").removeprefix("Bearer ").strip())
            if name in (b"x-api-key", b"api-key"):
                return self._keys.get(value.decode("latin-1"))
        return None

    def key_id(self, name: str | None) -> str | None:
        """The id of a key given by id or by itself, None for None; raises `KeyError`."""
        for key in self.spec.keys:
            if name in (key.id, key.key):
                return key.id
        if name is not None:
            raise KeyError(f"no key {name!r}; there are {[key.id for key in self.spec.keys]}")
        return None

    def model_id(self, name: str | None) -> str | None:
        """The name, or None for None; raises `KeyError` where there is no such model."""
        if name is not None and name not in self.models:
            raise KeyError(f"no model {name!r}; there are {list(self.models)}")
        return name

    def latency_s(self) -> float:
        """Real seconds to the first token of the next answer."""
        latency = self.spec.latency
        if not latency.median_ms:
            return 0.0
        factor = math.exp(latency.sigma * self._latency.gauss(0, 1)) if latency.sigma else 1.0
        return latency.median_ms * factor / 1_000 / self.speed

    def tokens_per_real_s(self) -> float | None:
        """How fast output comes in real time; None is all at once."""
        rate = self.spec.output.tokens_per_s
        return None if rate is None else rate * self.speed

    async def serve(self, exchange: Exchange, kind: str) -> None:
        """Take one chat or embedding call from its first byte to its last."""
        key = self.key_of(exchange)
        if self.faults.armed and self.faults.draw(BEFORE_BODY, None, key.id if key else None):
            self.strangers.ended("fault:drop_before")
            await exchange.drop()
            return
        try:
            body = await exchange.body()
        except ClientGoneError:
            self.strangers.ended("aborted")
            return
        except BodyTooLargeError:
            await exchange.answer(*refusals.body_too_large(self.spec.dialect))
            return
        seen = self._seen(exchange, body)
        counters, outcome = self.strangers, "aborted"
        try:
            if key is None:
                await exchange.answer(*refusals.unauthorized(self.spec.dialect))
                outcome = "unauthorized"
                return
            try:
                account, call = self._understand(key, kind, body)
            except BadRequestError as bad:
                await exchange.answer(*refusals.invalid(self.spec.dialect, bad))
                outcome = bad.code or "bad_request"
                return
            counters = account.counters
            counters.received += 1
            counters.first_at_us = counters.first_at_us or self.now_us()
            outcome = await self._take(exchange, account, call, seen)
        finally:
            if counters is self.strangers:
                counters.received += 1
            counters.ended(outcome)
            if seen is not None:
                seen.note(self.spec.name, outcome)

    def _seen(self, exchange: Exchange, body: bytes) -> Seen | None:
        marker = next(
            (value.decode("latin-1") for name, value in exchange.headers if name == b"x-sim-id"),
            None,
        )
        marker = marker or marker_in(body)
        return self.markers.received(marker) if marker else None

    def _understand(self, key: Key, kind: str, body: bytes) -> tuple[Account, Call]:
        given = parse_object(body)
        call = parse_chat(given) if kind == "chat" else parse_embedding(given)
        account = self.ledger.accounts.get((key.id, call.model))
        if account is None:
            raise BadRequestError(
                f"The model `{call.model}` does not exist or you do not have access to it.",
                "model",
                "model_not_found",
            )
        if kind not in account.model.kinds:
            raise BadRequestError(
                f"The model `{call.model}` does not support this endpoint.", "model"
            )
        self._check_size(call, account.model)
        return account, call

    def _check_size(self, call: Call, model: Model) -> None:
        wanted = call.max_tokens or 0
        if call.prompt_tokens + wanted > model.context_window:
            raise BadRequestError(
                f"This model's maximum context length is {model.context_window} tokens. However, "
                f"you requested {call.prompt_tokens + wanted} tokens ({call.prompt_tokens} in the "
                f"messages, {wanted} in the completion). Please reduce the length of the messages.",
                "messages",
                "context_length_exceeded",
            )
        if wanted > model.max_output_tokens:
            raise BadRequestError(
                f"max_tokens is too large: {wanted}. This model supports at most "
                f"{model.max_output_tokens} completion tokens.",
                "max_tokens",
            )

    async def _take(
        self, exchange: Exchange, account: Account, call: Call, seen: Seen | None
    ) -> str:
        fault = self._draw(BEFORE_QUOTA, account)
        while fault is not None and fault.kind == "limits":
            self.ledger.scale(
                (each for each in self.ledger.accounts.values() if fault.meant_for(each)),
                fault.factor,
                self.now_us(),
                announced=fault.announced,
            )
            fault = self._draw(BEFORE_QUOTA, account)
        if fault is not None:
            await exchange.answer(*refusals.by_fault(account, fault, self.now_us()))
            return f"fault:{fault.kind}"
        reply = (
            compose(call, account.model, self.spec.output)
            if isinstance(call, ChatCall)
            else _NO_REPLY
        )
        now_us = self.now_us()
        refusal = account.admit(self._counted(call, reply, account.model), now_us)
        if refusal is not None:
            await exchange.answer(*refusals.over_limit(account, refusal, now_us))
            return "too_large" if refusal.too_large else "rate_limited"
        self._count_admitted(account, call, reply, seen)
        try:
            fault = self._draw(AFTER_QUOTA, account)
            outcome = await delivery.deliver(self, exchange, account, call, reply, fault)
        finally:
            account.leave()
        if outcome == "ok":
            account.counters.last_answer_at_us = self.now_us()
        return outcome

    def _draw(self, kinds: frozenset[FaultKind], account: Account) -> FaultSpec | None:
        if not self.faults.armed:
            return None
        return self.faults.draw(kinds, account.model.id, account.key.id)

    def _counted(self, call: Call, reply: Reply, model: Model) -> int:
        match self.spec.counts:
            case "input":
                return call.prompt_tokens
            case "input+output":
                return call.prompt_tokens + reply.tokens
            case "input+max_output":
                if isinstance(call, EmbeddingCall):
                    return call.prompt_tokens
                return call.prompt_tokens + (call.max_tokens or model.max_output_tokens)

    def _count_admitted(
        self, account: Account, call: Call, reply: Reply, seen: Seen | None
    ) -> None:
        counters = account.counters
        counters.admitted += 1
        counters.prompt_tokens += call.prompt_tokens
        counters.completion_tokens += reply.tokens
        counters.images += call.images
        counters.streams += call.stream
        if seen is not None:
            seen.admitted += 1

    async def list_models(self, exchange: Exchange) -> None:
        """Answer `GET /v1/models`."""
        key = self.key_of(exchange)
        if key is None or self.faults.draw(("key_revoked",), None, key.id):
            await exchange.answer(*refusals.unauthorized(self.spec.dialect))
            return
        data = [self._model_body(model) for model in self.spec.models]
        await exchange.answer(200, orjson.dumps({"object": "list", "data": data}))

    async def show_model(self, exchange: Exchange, name: str) -> None:
        """Answer `GET /v1/models/{name}`."""
        if self.key_of(exchange) is None:
            await exchange.answer(*refusals.unauthorized(self.spec.dialect))
        elif name in self.models:
            await exchange.answer(200, orjson.dumps(self._model_body(self.models[name])))
        else:
            await exchange.answer(*refusals.no_such_model(self.spec.dialect, name))

    def _model_body(self, model: Model) -> dict[str, object]:
        return {
            "id": model.id,
            "object": "model",
            "created": 1_700_000_000,
            "owned_by": self.spec.name,
            "context_window": model.context_window,
            "max_completion_tokens": model.max_output_tokens,
        }
