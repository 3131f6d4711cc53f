"""What a request names to be read for it: a file must be there, and its caller's own."""

from urllib.parse import urlsplit

from api.files import FILE_ID
from api.wiring import Service
from shared.addresses import private_host
from shared.errors import Refused


async def check_file(service: Service, tenant: str, file_id: str | None, param: str) -> None:
    """Refused (404): there is no such file, or it is not this tenant's: the same for both."""
    if file_id is None:
        return
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


async def check_address(service: Service, url: str | None, param: str) -> None:
    """Refused: a private address, unless settings allow it; it is looked at again when fetched."""
    if url is None or service.bounds.private_documents:
        return
    if await private_host(url) is not None:
        raise Refused(
            f"{param}: {(urlsplit(url).hostname or '')[:100]} is at a private address;"
            " HEADRACE_ALLOW_PRIVATE_URLS allows those",
            param=param,
            code="private_address",
        )
