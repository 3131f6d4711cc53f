"""Who calls: `Authorization: Bearer <API key>`."""

from api.errors import unauthorized
from api.ports import Keys
from shared.credentials import ApiKey

SCHEME = b"bearer "


def authenticate(headers: dict[bytes, bytes], keys: Keys) -> ApiKey:
    """The key's owner. Refused: 401."""
    given = headers.get(b"authorization")
    if given is None:
        raise unauthorized("send your API key as `Authorization: Bearer <key>`")
    if given[:7].lower() != SCHEME:
        raise unauthorized("the Authorization header must be `Bearer <key>`")
    try:
        text = given[7:].strip().decode("ascii")
    except UnicodeDecodeError:
        text = ""
    found = keys.find(text) if text else None
    if found is None:
        raise unauthorized("this API key is not known here")
    return found


def scope_of(key: ApiKey) -> str | None:
    """Whose jobs a key sees: its tenant's; None (all) for an admin."""
    return None if key.role == "admin" else key.tenant
