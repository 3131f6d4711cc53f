"""Stub."""

from api.call import Call
from api.wiring import Service


async def get(_service: Service, call: Call) -> None:
    await call.json(200, {})
