"""What a request names to be read for it: a file must be there, and its caller's own."""

from api.files import FILE_ID
from api.wiring import Service
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
