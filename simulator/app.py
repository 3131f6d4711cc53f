"""The ASGI application: every provider under one roof.

`/{provider}/v1/…` on the common port, `/v1/…` on a provider's own port, `/admin` on the common;
a personality has its own paths below the provider's name.
"""

from collections.abc import Mapping

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"only http is spoken here, not {scope['type']}")
        exchange = Exchange(scope, receive, send)
        own = self._ports.get((scope.get("server") or ("", 0))[1]) if self._ports else None
        path = exchange.path.removeprefix("/")
        name, _, rest = (own.spec.name, "", path) if own else path.partition("/")
        provider = own or self.providers.get(name)
        if provider is not None:
            route = provider.personality.route(exchange.method, rest)
            if route is not None:
                await provider.serve(exchange, route)
            else:
                await self._nowhere(exchange, provider, rest)
        elif name == "admin":
            await self.admin.serve(exchange)
        else:
            await self._nowhere(exchange, None, path)

    def refuses_connection(self, port: int) -> bool:
        """Whether a fault wants a new connection to this provider's own port closed at once."""
        provider = self._ports.get(port)
        if provider is None or not provider.faults.armed:
            return False
        return provider.faults.draw(ON_CONNECT, None, None) is not None

    @staticmethod
    async def _nowhere(exchange: Exchange, provider: Provider | None, path: str) -> None:
        message = f"Invalid URL ({exchange.method} {exchange.path})"
        if provider is None:
            error = {
                "message": message,
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
            await exchange.answer(404, orjson.dumps({"error": error}))
            return
        known = any(provider.personality.route(method, path) for method in ("POST", "GET"))
        status = 405 if known else None
        await exchange.answer(
            *provider.personality.trouble("no_route", status=status, message=message)
        )
