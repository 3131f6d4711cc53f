"""The ASGI application: routes, and one thin frame around every handler.

A handler is `async (service, call)`. It answers, or raises: Refused, StoreError, ClientGone. What
is raised becomes OpenAI's error shape here and nowhere else.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from api import (
    batches,
    callers,
    chat,
    credentials,
    embeddings,
    errors,
    events,
    explain,
    files,
    health,
    input_items,
    input_tokens,
    jobs,
    models,
    openapi,
    providers,
    queues,
    responses,
    submit,
    transcriptions,
    usage,
    webhooks,
)
from api.auth import authenticate
from api.body import ClientGone
from api.call import Call
from api.wiring import Service, Wiring
from shared.errors import Refused, StoreError

log = structlog.get_logger(__name__)

Handler = Callable[[Service, Call], Awaitable[None]]


class Endpoint:
    """One path: a handler a method. `public` ones ask for no key."""

    def __init__(
        self,
        service: Service,
        path: str,
        *,
        get: Handler | None = None,
        post: Handler | None = None,
        patch: Handler | None = None,
        delete: Handler | None = None,
        public: bool = False,
    ) -> None:
        self._service = service
        self._path = path
        self._public = public
        self._handlers: dict[str, Handler] = {}
        if get is not None:
            self._handlers |= {"GET": get, "HEAD": get}
        for method, handler in (("POST", post), ("PATCH", patch), ("DELETE", delete)):
            if handler is not None:
                self._handlers[method] = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever happens."""
        call = Call(scope, receive, send)
        began = time.monotonic()
        try:
            await self._handle(call)
        except ClientGone:
            call.status = call.status or CLIENT_GONE
        except Refused as refused:
            await self._refuse(call, refused)
        except StoreError as problem:
            log.warning(problem.code, route=self._path, error=str(problem)[:200])
            await self._refuse(call, errors.store_unavailable(problem))
        except Exception as bug:
            log.exception("request_failed", route=self._path, error=type(bug).__name__)
            await self._refuse(call, INTERNAL)
        finally:
            self._service.metrics.request(self._path, call.status, time.monotonic() - began)

    async def _handle(self, call: Call) -> None:
        handler = self._handlers.get(call.scope["method"])
        if handler is None:
            raise Refused(
                f"{self._path} answers {', '.join(self._handlers)} only",
                status=405,
                code="method_not_allowed",
            )
        if not self._public:
            call.key = authenticate(call.headers, self._service.keys)
        await handler(self._service, call)

    async def _refuse(self, call: Call, refused: Refused) -> None:
        if call.started:  # half an answer is out: an end without its last chunk shows as broken
            raise refused
        headers = list(errors.headers_of(refused))
        if refused.status == METHOD_NOT_ALLOWED:
            headers.append((b"allow", ", ".join(self._handlers).encode()))
        if refused.status == UNAUTHORIZED:
            headers.append((b"www-authenticate", b'Bearer realm="headrace"'))
        if refused.status in CLOSING or self._service.draining:
            headers.append((b"connection", b"close"))
        await call.reply(refused.status, errors.body_of(refused), headers)


UNAUTHORIZED: Final = 401
METHOD_NOT_ALLOWED: Final = 405
CLIENT_GONE: Final = 499  # as nginx counts them; never sent
CLOSING: Final = frozenset({408, 413})  # the rest of the body is not read
INTERNAL: Final = Refused(
    "this is a fault of ours; the log of this server has it",
    status=500,
    type_="server_error",
    code="internal_error",
)


async def unknown(_service: Service, call: Call) -> None:
    """Whatever is not there."""
    raise errors.not_found(
        f"there is no {call.scope['method']} {call.path[:200]}: GET /openapi.json lists all routes",
        code="unknown_route",
    )


def _routes(service: Service) -> list[Route]:
    def at(path: str, **handlers: Any) -> Route:
        return Route(path, Endpoint(service, path, **handlers))

    return [  # the busiest first: they are tried in order
        at("/v1/jobs", get=jobs.index, post=submit.create),
        at("/v1/chat/completions", post=chat.create),
        at("/v1/jobs/{id}", get=jobs.get),
        at("/v1/embeddings", post=embeddings.create),
        at("/v1/audio/transcriptions", post=transcriptions.create),
        at("/v1/audio/translations", post=transcriptions.translate),
        at("/v1/responses", post=responses.create),
        at("/v1/responses/input_tokens", post=input_tokens.count),
        at("/v1/responses/{id}", get=responses.get, delete=responses.delete),
        at("/v1/responses/{id}/cancel", post=responses.cancel),
        at("/v1/responses/{id}/input_items", get=input_items.index),
        at("/v1/jobs/{id}/events", get=events.get),
        at("/v1/jobs/{id}/cancel", post=jobs.cancel),
        at("/v1/jobs/{id}/replay", post=jobs.replay),
        at("/v1/jobs/{id}/redeliver", post=webhooks.redeliver),
        at("/v1/files", get=files.index, post=files.create),
        at("/v1/files/{id}", get=files.get, delete=files.delete),
        at("/v1/files/{id}/content", get=files.content),
        at("/v1/batches", get=batches.index, post=batches.create),
        at("/v1/batches/{id}", get=batches.get),
        at("/v1/batches/{id}/cancel", post=batches.cancel),
        at("/v1/batches/{id}/redeliver", post=batches.redeliver),
        at("/v1/models", get=models.index),
        at("/v1/models/{id:path}", get=models.get),
        at("/v1/route/explain", post=explain.explain),
        at("/v1/usage", get=usage.get),
        at("/v1/queues", get=queues.queues),
        at("/v1/webhook_event_types", get=webhooks.event_types),
        at("/v1/webhook_endpoints", get=webhooks.index, post=webhooks.create),
        at(
            "/v1/webhook_endpoints/{id}",
            get=webhooks.get,
            post=webhooks.update,
            delete=webhooks.delete,
        ),
        at("/v1/webhook_endpoints/{id}/rotate_secret", post=webhooks.rotate),
        at("/v1/webhook_endpoints/{id}/test", post=webhooks.test),
        at("/v1/providers", get=providers.index, post=providers.create),
        at(
            "/v1/providers/{id}",
            get=providers.get,
            patch=providers.change,
            delete=providers.delete,
        ),
        at("/v1/credentials", get=credentials.index, post=credentials.create),
        at(
            "/v1/credentials/{id}",
            get=credentials.get,
            patch=credentials.change,
            delete=credentials.delete,
        ),
        at("/v1/credentials/{id}/test", post=credentials.test),
        at("/v1/keys", get=callers.index, post=callers.create),
        at("/v1/keys/{id}", get=callers.get, patch=callers.change, delete=callers.delete),
        at("/v1/keys/{id}/rotate", post=callers.rotate),
        at("/healthz", get=health.alive, public=True),
        at("/readyz", get=health.ready, public=True),
        at("/metrics", get=health.metrics, public=True),
        at("/openapi.json", get=openapi.get, public=True),
    ]


class Everything(Endpoint):
    """Answers any method on any path that has no route."""

    async def _handle(self, call: Call) -> None:
        await unknown(self._service, call)


def create_app(wiring: Wiring, service: Service | None = None) -> ASGIApp:
    """The application. `service` is given by who drains it; else it is made here."""
    own = service or Service(wiring)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        await wiring.start()
        own.draining = False
        try:
            yield
        finally:
            own.drain()
            await own.stop()
            await wiring.stop()

    return Router(
        _routes(own),
        redirect_slashes=False,
        default=Everything(own, "unknown"),
        lifespan=lifespan,
    )
