"""What a request names to be read for it: a file of the caller's own, or a public address."""

from collections.abc import Mapping
from typing import Any

from api.files import FILE_ID
from api.wiring import Service
from shared.addresses import private_host
from shared.errors import Refused


async def check_file(service: Service, tenant: str, file_id: str | None, param: str) -> str | None:
    """The digest of the file's bytes, where it is known.

    Refused (404): there is no such file, or it is not this tenant's: the same for both.
    """
    if file_id is None:
        return None
    file = None
    if FILE_ID.fullmatch(file_id):
        file = await service.bulk.files.get(file_id, tenant)
    if file is None:
        raise Refused(
            f"{param}: No such File object: {file_id[:64]}",
            status=404,
            param=param,
            code="file_not_found",
        )
    return file.digest


async def check_address(service: Service, url: str | None, param: str) -> None:
    """Refused (400): it is at a private address, which settings do not allow.

    A name that does not resolve here is let through: the worker looks again at each connection.
    """
    if url is None or service.bounds.private_documents:
        return
    host = await private_host(url)
    if host is not None:
        raise Refused(
            f"{param}: {host[:100]} is at a private address;"
            " HEADRACE_ALLOW_PRIVATE_URLS allows those",
            param=param,
            code="private_address",
        )


async def check_sources(
    service: Service, tenant: str, request: Mapping[str, Any], where: str = ""
) -> str | None:
    """The digest of the bytes that the request names, where it is known; `where` comes before.

    Refused: a file or an address of the request that may not be read.
    """
    content = await check_file(service, tenant, request.get("file_id"), f"{where}file_id")
    await check_address(service, request.get("url"), f"{where}url")
    return content
