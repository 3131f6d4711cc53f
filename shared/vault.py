"""Secrets at rest: sealed with AES-256-GCM under one master key that the store never sees.

The master key is HEADRACE_SECRET_KEY, or the file `secret-key` (0600) of the data directory, which
`headrace up` makes. Each secret is bound to the id of its row: a sealed text put in another row
does not open. Who loses the key loses the secrets and nothing else: they are entered again.
"""

import base64
import binascii
import functools
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shared.credentials import Secret
from shared.errors import ConfigError, GatewayError
from shared.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE: Final = "secret-key"
LEAST_CHARS: Final = 32
_VERSION: Final = "v1."
_NONCE_BYTES: Final = 12
_INFO: Final = b"headrace credentials at rest"


class Unreadable(GatewayError):  # noqa: N818 - what it is
    """A sealed secret that this master key does not open, or that was altered."""


class Vault:
    """Seals and opens secrets under one master key of at least 32 characters."""

    def __init__(self, master: Secret) -> None:
        if len(master.reveal()) < LEAST_CHARS:
            raise ConfigError(
                f"HEADRACE_SECRET_KEY: should have at least {LEAST_CHARS} characters; make one with"
                " `openssl rand -base64 32`"
            )
        self._master = master

    @functools.cached_property
    def _cipher(self) -> "AESGCM":
        """Made at the first use: 6 MB that a process without stored secrets saves."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        derive = HKDF(SHA256(), 32, salt=None, info=_INFO).derive
        return AESGCM(derive(self._master.reveal().encode()))

    def seal(self, secret: Secret, row: str) -> str:
        """`secret` as text that only `unseal` with the same `row` turns back."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.reveal().encode(), row.encode())
        return _VERSION + base64.b64encode(nonce + sealed).decode()

    def unseal(self, text: str, row: str) -> Secret:
        """The secret that was sealed for `row`. Unreadable where it is not."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as in _cipher

        try:
            raw = base64.b64decode(text.removeprefix(_VERSION), validate=True)
            plain = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], row.encode())
        except (InvalidTag, binascii.Error, ValueError) as exc:
            raise Unreadable(f"{row} was sealed with another HEADRACE_SECRET_KEY") from exc
        return Secret(plain.decode())


def of_settings(settings: Settings) -> Vault | None:
    """The vault of this process; None where no master key was given or made.

    ConfigError for one that is too short or cannot be read.
    """
    if settings.secret_key:
        return Vault(settings.secret_key)
    path = settings.data_dir / KEY_FILE
    try:
        return Vault(Secret(path.read_text(encoding="utf-8").strip()))
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc


def make_key_file(data_dir: Path) -> Path:
    """The master key file of a data directory, made (0600) where there is none."""
    path = data_dir / KEY_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path
