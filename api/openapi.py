"""`/openapi.json`: written by us in two YAML files, put together once a process."""

from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml

from api.call import Call
from api.wiring import Service

HERE = Path(__file__).parent / "openapi"


@cache
def document() -> bytes:
    """The whole document as JSON. Every route refuses alike: those answers stand in one place."""
    paths = yaml.safe_load((HERE / "paths.yaml").read_text(encoding="utf-8"))
    schemas = yaml.safe_load((HERE / "schemas.yaml").read_text(encoding="utf-8"))
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
