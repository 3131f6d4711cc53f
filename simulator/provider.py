"""One running provider: its ledger, faults and counts, and the calls it takes."""

import asyncio
from dataclasses import dataclass, replace

from simulator import delivery
from simulator.clock import NowUs
from simulator.config import Key, Model, ModelKind, SimulatedProvider
from simulator.exchange import BodyTooLargeError, ClientGoneError, Exchange
from simulator.faults import (
    AFTER_QUOTA,
    BEFORE_BODY,
    BEFORE_QUOTA,
    ON_ARRIVAL,
    FaultBook,
    FaultKind,
    FaultSpec,
)
from simulator.forms import parse_form
from simulator.ledger import Account, Counters, Ledger, Spend
from simulator.markers import Markers, Seen, marker_in
from simulator.personalities import Answer, Asked, Call, Route
from simulator.replies import Reply, compose
from simulator.requests import BadRequestError, ChatCall, EmbeddingCall, check_size, parse_object
from simulator.transcripts import TranscriptionCall, billed_seconds, check_audio
from simulator.voice import Voice

_NO_REPLY = Reply("", "", 0, "stop")
_LONG_BYTES = 256 * 1024


def kind_of(call: Call) -> ModelKind:
    """What a model must be able to do for this call."""
    match call:
        case ChatCall():
            return "chat"
        case EmbeddingCall():
            return "embedding"
        case TranscriptionCall():
            return "transcription"


def asked_of(exchange: Exchange, route: Route, body: bytes) -> Asked:
    """The request with its JSON, or with its form; raises `BadRequestError`."""
    if route.kind != "transcription":
        return Asked(route, parse_object(body), exchange.headers, exchange.query)
    kind = next((value for name, value in exchange.headers if name == b"content-type"), b"")
    form = parse_form(kind.decode("latin-1"), body)
    return Asked(route, {}, exchange.headers, exchange.query, form)


@dataclass(frozen=True, slots=True)
class Turned:
    """A request that is turned away, and what its outcome is called."""

    answer: Answer
    outcome: str


class Provider:
    """A provider at work. All spans given to it are simulated and divided by `speed`."""

    def __init__(
        self, spec: SimulatedProvider, speed: float, now_us: NowUs, markers: Markers
    ) -> None:
        self.spec = spec
        self.voice = Voice(spec, speed, now_us)
        self.personality = self.voice.personality
        self.speed = speed
        self.now_us = now_us
        self.markers = markers
        self.models: dict[str, Model] = {model.id: model for model in spec.models}
        self._keys: dict[str, Key] = {key.key: key for key in spec.keys}
        self.reset()

    def reset(self) -> None:
        """Start afresh: full windows, no faults, counts at zero."""
        self.ledger = Ledger(self.spec, self.speed)
        self.faults = FaultBook(self.now_us)
        self.strangers = Counters()
        self.voice.reset()

    def key_of(self, exchange: Exchange) -> Key | None:
        """The key a request shows, if it is one of this provider's."""
        shown = self.personality.shown_key(exchange.headers, exchange.query)
        return None if shown is None else self._keys.get(shown)

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

    async def serve(self, exchange: Exchange, route: Route) -> None:
        """Take one call from its first byte to its last."""
        if route.kind in ("models", "model", "status"):
            await self._look_up(exchange, route)
            return
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
            await self._say(exchange, self.personality.trouble("too_large"))
            return
        seen = self._seen(exchange, body)
        counters, outcome = self.strangers, "aborted"
        try:
            found = await self._understand(key, exchange, route, body)
            if isinstance(found, Turned):
                await self._say(exchange, found.answer)
                outcome = found.outcome
                return
            account, call = found
            counters = account.counters
            counters.received += 1
            counters.first_at_us = counters.first_at_us or self.now_us()
            if route.kind == "count":
                await self._say(exchange, (200, self.personality.counted(call), []), account)
                outcome = "counted"
            else:
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
        return self.markers.received(marker, self.now_us()) if marker else None

    async def _understand(
        self, key: Key | None, exchange: Exchange, route: Route, body: bytes
    ) -> "tuple[Account, Call] | Turned":
        """Whose call it is and what it asks, or what is answered without asking the quota."""
        speaks = self.personality
        if self.faults.armed and (fault := self.faults.draw(ON_ARRIVAL, None, None)):
            return Turned(self.voice.error_of(fault, None), "fault:outage")
        if key is None:
            return Turned(speaks.trouble("unauthorized"), "unauthorized")
        if len(body) > speaks.max_body_bytes:
            return Turned(speaks.trouble("too_large"), "body_too_large")
        try:
            asked = asked_of(exchange, route, body)
            if len(body) < _LONG_BYTES:
                call = speaks.parse(asked)
            else:  # sound takes its time
                call = await asyncio.to_thread(speaks.parse, asked)
            return self._account(key, call), call
        except BadRequestError as bad:
            return Turned(speaks.refused(bad), bad.code or "bad_request")

    def _account(self, key: Key, call: Call) -> Account:
        account = self.ledger.accounts.get((key.id, call.model))
        if account is None:
            raise BadRequestError(
                f"The model `{call.model}` does not exist or you do not have access to it.",
                "model",
                "model_not_found",
                model=call.model,
            )
        if kind_of(call) not in account.model.kinds:
            raise BadRequestError(
                f"The model `{call.model}` does not support this endpoint.", "model"
            )
        if isinstance(call, TranscriptionCall):
            check_audio(call, account.model)
        else:
            check_size(call, account.model)
        return account

    async def _take(
        self, exchange: Exchange, account: Account, call: Call, seen: Seen | None
    ) -> str:
        fault = self._before_quota(account)
        if fault is not None:
            await self._refuse(exchange, self.voice.error_of(fault, account), account)
            return f"fault:{fault.kind}"
        reply = (
            compose(call, account.model, self.spec.output)
            if isinstance(call, ChatCall)
            else _NO_REPLY
        )
        spend = self._spend(call, reply, account.model)
        refusal = account.admit(spend, self.now_us())
        if refusal is not None:
            await self._refuse(exchange, self.personality.over_limit(account, refusal), account)
            return "too_large" if refusal.too_large else "rate_limited"
        self._count_admitted(account, call, spend, seen)
        try:
            fault = self._draw(AFTER_QUOTA, account)
            if fault is not None and fault.kind == "filtered":
                if self.personality.filter_row is not None:
                    row = self.personality.filter_row
                    answer = self.personality.trouble(row, model=account.model.id)
                    await self._refuse(exchange, answer, account)
                    return "fault:filtered"
                reply = replace(_NO_REPLY, finish_reason="content_filter")
            outcome = await delivery.deliver(self.voice, exchange, account, call, reply, fault)
        finally:
            account.leave()
        if outcome == "ok":
            account.counters.last_answer_at_us = self.now_us()
        return outcome

    def _before_quota(self, account: Account) -> FaultSpec | None:
        """The fault that ends a call before its quota is asked; limits that change do so here."""
        while (fault := self._draw(BEFORE_QUOTA, account)) is not None and fault.kind == "limits":
            self.ledger.scale(
                [each for each in self.ledger.accounts.values() if fault.meant_for(each)],
                fault.factor,
                self.now_us(),
                announced=fault.announced,
            )
        return fault

    def _spend(self, call: Call, reply: Reply, model: Model) -> Spend:
        """What a call takes of its windows."""
        seconds = billed_seconds(call, model) if isinstance(call, TranscriptionCall) else 0
        counted, requests = self._counted(call, reply, model), self.personality.requests_of(call)
        return Spend(counted, call.prompt_tokens, reply.tokens, seconds, requests)

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
                if not isinstance(call, ChatCall):
                    return call.prompt_tokens
                return call.prompt_tokens + (call.max_tokens or model.max_output_tokens)

    def _count_admitted(
        self, account: Account, call: Call, spend: Spend, seen: Seen | None
    ) -> None:
        counters = account.counters
        counters.admitted += 1
        counters.prompt_tokens += call.prompt_tokens
        counters.completion_tokens += spend.output
        counters.audio_seconds += spend.audio_seconds
        counters.images += call.images
        counters.streams += call.stream
        if seen is not None:
            seen.admitted += 1

    async def _look_up(self, exchange: Exchange, route: Route) -> None:
        """Answer what is asked about models and keys; it spends nothing."""
        key, speaks = self.key_of(exchange), self.personality
        account = next((a for a in self.ledger.accounts.values() if a.key is key), None)
        if self.faults.armed:
            outage = self.faults.draw(ON_ARRIVAL, None, None)
            if outage is not None:
                await self._say(exchange, self.voice.error_of(outage, None))
                return
            if key is not None and self.faults.draw(("key_revoked",), None, key.id):
                key = account = None
        if route.kind == "status":
            answer = speaks.key_status(account, self.now_us())
        elif key is None:
            answer = speaks.trouble("unauthorized")
        elif route.kind == "models":
            answer = 200, speaks.models(self.spec), []
        elif route.model in self.models:
            answer = 200, speaks.model(self.spec, self.models[route.model]), []
        else:
            answer = speaks.trouble("model_gone", model=route.model)
        await self._say(exchange, answer, account)

    async def _say(
        self, exchange: Exchange, answer: Answer, account: Account | None = None
    ) -> None:
        status, body, headers = answer
        own = self.personality.own_headers(account, next(self.voice.numbers))
        await exchange.answer(status, body, headers + own)

    async def _refuse(self, exchange: Exchange, answer: Answer, account: Account) -> None:
        """Answer an error about an account, with what such errors tell of its limits."""
        status, body, headers = answer
        told = self.personality.refusal_headers(account, self.now_us())
        await self._say(exchange, (status, body, headers + told), account)
