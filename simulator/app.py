"""The ASGI application: every provider under one roof.

`/{provider}/v1/…` on the common port, `/v1/…` on a provider's own port, `/admin` on the common.
"""

from collections.abc import Mapping
from functools import partial

import orjson

from simulator.admin import Admin
from simulator.clock import NowUs, wall_clock
from simulator.config import SimulatorConfig
from simulator.exchange import Exchange, Receive, Scope, Send
from simulator.faults import ON_CONNECT
from simulator.markers import Markers
from simulator.provider import Provider


class Simulator:
    """An ASGI 3 application. `ports` names the provider that listens on a port of its own."""

    def __init__(
        self,
        config: SimulatorConfig,
        *,
        ports: Mapping[int, str] | None = None,
        now_us: NowUs | None = None,
    ) -> None:
        self.config = config
        self.markers = Markers(config.remember_ids)
        clock = now_us or wall_clock()
        self.providers = {
            spec.name: Provider(spec, config.speed, clock, self.markers)
            for spec in config.providers
        }
        self.admin = Admin(config, self.providers, self.markers)
        self._ports = {port: self.providers[name] for port, name in (ports or {}).items()}
        self._calls = {
            f"/{name}/v1/{path}": partial(provider.serve, kind=kind)
            for name, provider in self.providers.items()
            for path, kind in (("chat/completions", "chat"), ("embeddings", "embedding"))
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"only http is spoken here, not {scope['type']}")
        exchange = Exchange(scope, receive, send)
        own = self._ports.get((scope.get("server") or ("", 0))[1]) if self._ports else None
        path = f"/{own.spec.name}{exchange.path}" if own else exchange.path
        call = self._calls.get(path)
        if call is not None and exchange.method == "POST":
            await call(exchange)
        elif path == "/admin" or path.startswith("/admin/"):
            await self.admin.serve(exchange)
        else:
            await self._other(exchange, path)

    def refuses_connection(self, port: int) -> bool:
        """Whether a fault wants a new connection to this provider's own port closed at once."""
        provider = self._ports.get(port)
        if provider is None or not provider.faults.armed:
            return False
        return provider.faults.draw(ON_CONNECT, None, None) is not None

    async def _other(self, exchange: Exchange, path: str) -> None:
        name, _, rest = path.removeprefix("/").partition("/")
        provider = self.providers.get(name)
        if provider is not None and exchange.method == "GET" and rest == "v1/models":
            await provider.list_models(exchange)
        elif provider is not None and exchange.method == "GET" and rest.startswith("v1/models/"):
            await provider.show_model(exchange, rest.removeprefix("v1/models/"))
        else:
            status = 405 if path in self._calls else 404
            message = f"Invalid URL ({exchange.method} {exchange.path})"
            error = {
                "message": message,
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
            await exchange.answer(status, orjson.dumps({"error": error}))
