"""`/openapi.json`: written by us in two YAML files, put together once a process."""

from functools import cache
from pathlib import Path
from typing import Any

import orjson

from api.call import Call
from api.wiring import Service
from shared import catalog_yaml

HERE = Path(__file__).parent / "openapi"


@cache
def document() -> bytes:
    """The whole document as JSON. Every route refuses alike: those answers stand in one place."""
    paths = catalog_yaml.read(HERE / "paths.yaml")
    schemas = catalog_yaml.read(HERE / "schemas.yaml")
    common: dict[str, Any] = paths.pop("x-common-responses")
    for operations in paths["paths"].values():
        for operation in operations.values():
            for status, answer in common[operation.pop("x-refuses")].items():
                operation["responses"].setdefault(status, answer)
    paths["components"] |= schemas["components"]
    return orjson.dumps(paths)


async def get(_service: Service, call: Call) -> None:
    """The document."""
    await call.reply(200, document())
