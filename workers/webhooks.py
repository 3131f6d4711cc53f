"""Tells webhooks of ends: one try, one report. When to try again is `core/webhooks.py`'s to say."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

import orjson
import structlog
from yarl import URL

from shared.core.outcome import FailureKind
from shared.core.resets import retry_after_ms
from shared.core.webhooks import Again, Answer, Delivered, GaveUp, Gone, after, why
from shared.queue.broker import holding
from shared.queue.types import Report, Verdict
from shared.store.hooks import Endpoint, Hooks
from shared.vault import Unreadable, Vault
from shared.wire import webhooks as wire
from workers.failures import TransportFailure
from workers.guard import refuse_literal
from workers.providers.base import HttpRequest
from workers.transport import Timeouts, Transport

log = structlog.get_logger(__name__)

MOST_CONNECT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """Whom to tell: the address and the sealed secrets that sign."""

    url: str
    sealed: tuple[str, ...]


class Teller:
    """Tells endpoints of ends on the engine's loop."""

    def __init__(
        self,
        hooks: Hooks,
        transport: Transport,
        vault: Vault | None,
        *,
        allow_private: bool,
        timeout_ms: int,
    ) -> None:
        self._hooks = hooks
        self._transport = transport
        self._vault = vault
        self._allow_private = allow_private
        self._timeouts = Timeouts(
            total_ms=timeout_ms,
            connect_ms=min(timeout_ms, MOST_CONNECT_MS),
            first_byte_ms=timeout_ms,
            idle_ms=timeout_ms,
        )

    async def deliver(
        self,
        *,
        tenant: str,
        endpoint: str,
        own: Mapping[str, Any] | None,
        event: Mapping[str, Any],
        trial: bool = False,
    ) -> Report:
        """The actor `deliver_webhook`: arguments as hooks.lua writes them.

        A `trial` is told once; its result is the status that came back.
        """
        hand = holding.get()
        began_ms = hand.now_ms()
        known = await self._hooks.get(tenant, endpoint)
        whom = _whom(known, own, began_ms)
        if isinstance(whom, str):
            return _ended(whom, {"outcome": "not_sent", "message": whom})
        answer = await self._tell(whom, endpoint, event, began_ms)
        record = _record(answer, began_ms, hand.now_ms())
        if trial:
            return _tried(answer, record)
        if answer.status == 410:  # noqa: PLR2004 - HTTP
            await self._disable(tenant, endpoint, whom.url, began_ms)
        next_ = after(answer, hand.claim.attempts + 1, random.random())
        return _report(next_, answer, record)

    async def _tell(
        self, whom: Told, endpoint: str, event: Mapping[str, Any], now_ms: int
    ) -> Answer:
        if self._vault is None:
            return Answer(None, "HEADRACE_SECRET_KEY is not set where the workers run")
        try:
            signing = [self._vault.unseal(text, endpoint).reveal() for text in whom.sealed]
        except Unreadable as problem:
            return Answer(None, str(problem))
        body = wire.event_body(dict(event))
        headers = wire.headers(str(event["id"]), now_ms // 1000, body, signing)
        guarded = not self._allow_private
        request = HttpRequest("POST", whom.url, headers, body, guarded=guarded)
        return await self._ask(request, now_ms)

    async def _ask(self, request: HttpRequest, now_ms: int) -> Answer:
        if not self._allow_private:
            if not request.url.startswith("https://"):
                return Answer(None, "the address is not https", never=True)
            try:
                refuse_literal(URL(request.url, encoded=True))
            except OSError as refusal:
                return Answer(None, str(refusal), never=True)
        try:
            async with self._transport.open(request, self._timeouts) as exchange:
                rest_ms = retry_after_ms(exchange.headers, now_ms)
                return Answer(exchange.status, retry_after_ms=rest_ms)
        except TransportFailure as failure:
            silent = failure.kind is FailureKind.TIMEOUT
            return Answer(None, "no answer in time" if silent else failure.message)

    async def _disable(self, tenant: str, endpoint: str, url: str, now_ms: int) -> None:
        """The owner sees it at the endpoint, at the job and in the log."""
        reason = "the receiver answered 410"
        for _ in range(3):  # somebody may be changing it
            known = await self._hooks.get(tenant, endpoint)
            now = known or Endpoint(endpoint, tenant, url, "", (), (), now_ms, now_ms)
            disabled = replace(now, disabled=reason, updated_ms=now_ms)
            if await self._hooks.put(known, disabled) != "changed":
                break
            await asyncio.sleep(0)
        log.warning("webhook_disabled", endpoint=endpoint, tenant=tenant, reason=reason)


def _whom(known: Endpoint | None, own: Mapping[str, Any] | None, now_ms: int) -> Told | str:
    """The address and its secrets, or why nothing is sent."""
    if known is not None and known.disabled:
        return f"the endpoint is disabled: {known.disabled}"
    if own is not None and own.get("secrets"):
        return Told(str(own["url"]), tuple(own["secrets"]))
    signing = () if known is None else known.signing(now_ms)
    if known is None or not signing:
        return "the endpoint was deleted"
    return Told(str(own["url"]) if own is not None else known.url, signing)


def _record(answer: Answer, began_ms: int, ended_ms: int) -> dict[str, Any]:
    delivered = answer.status is not None and answer.status // 100 == 2  # noqa: PLR2004 - HTTP
    record: dict[str, Any] = {
        "outcome": "delivered" if delivered else "failed",
        "started_ms": began_ms,
        "ended_ms": ended_ms,
        "http_status": answer.status,
    }
    if not delivered:
        record["message"] = why(answer)[:300]
    return record


def _report(
    next_: Delivered | Again | GaveUp | Gone, answer: Answer, record: dict[str, Any]
) -> Report:
    match next_:
        case Delivered():
            result = orjson.dumps({"status_code": answer.status})
            return Report(Verdict.COMPLETE, record, result=result, reason="delivered")
        case Again():
            return Report(Verdict.RETRY, record, delay_ms=next_.delay_ms, reason="webhook_failed")
        case GaveUp() | Gone():
            return _ended(why(answer), record)
        case _:
            assert_never(next_)


def _tried(answer: Answer, record: dict[str, Any]) -> Report:
    if answer.status is None:
        return _ended(answer.problem, record)
    result = orjson.dumps({"status_code": answer.status})
    return Report(Verdict.COMPLETE, record, result=result, reason="tried")


def _ended(message: str, record: dict[str, Any]) -> Report:
    error = {"message": message, "type": "webhook_error", "param": None, "code": "not_delivered"}
    return Report(Verdict.FAIL, record, error=error, reason="not_delivered")
