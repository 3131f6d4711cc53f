"""The data directory of one machine's Headrace: who holds it, and the API keys made there.

`up.lock` is held by the running `headrace up`. `api-keys.json` (0600) holds digests of the keys the
API accepts (HEADRACE_API_KEYS_FILE), `client-key` (0600) a key in plain for the command line on
this machine, `address` where the last `headrace up` served, `valkey/` the embedded store,
`secret-key` (0600) what seals the credentials in it (HEADRACE_SECRET_KEY), `engines.yaml` the
local engines of the running `headrace up` (HEADRACE_ENGINES).
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Home:
    """A data directory."""

    path: Path

    @property
    def keys_file(self) -> Path:
        """Digests of the API keys made here."""
        return self.path / "api-keys.json"

    @property
    def client_key_file(self) -> Path:
        """The command line's own key."""
        return self.path / "client-key"

    @property
    def address_file(self) -> Path:
        """The last address served, for the command line on this machine."""
        return self.path / "address"

    @property
    def engines_file(self) -> Path:
        """What the parts are told of the local engines while `headrace up` runs them."""
        return self.path / "engines.yaml"

    @property
    def store_dir(self) -> Path:
        """Where the embedded store keeps its data."""
        return self.path / "valkey"

    def prepare(self) -> None:
        """Makes it, private to us. ConfigError if it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            probe = self.path / f".probe-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as exc:
            raise ConfigError(
                f"the data directory {self.path} cannot be written ({exc.strerror}):"
                " choose another with --data-dir or HEADRACE_DATA_DIR"
            ) from exc

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Held by us alone, until we end. ConfigError if another `headrace up` holds it."""
        with (self.path / "up.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise ConfigError(
                    f"another `headrace up` (pid {file.read().strip() or 'unknown'}) uses the data"
                    f" directory {self.path}: stop it, or choose another with --data-dir"
                ) from None
            file.seek(0)
            file.truncate()
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def client_key(self) -> str | None:
        """The command line's key on this machine, if there is one that we may read."""
        return _read(self.client_key_file)

    def address(self) -> str | None:
        """Where the last `headrace up` served, if it has been noted."""
        return _read(self.address_file)


def of_environment() -> Home:
    """The data directory that HEADRACE_DATA_DIR names, or the default: the same as `Settings`'."""
    named = os.environ.get("HEADRACE_DATA_DIR")
    if named:
        return Home(Path(named).expanduser())
    return usual()


def usual() -> Home:
    """The data directory where none is named."""
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return Home((data if data.is_absolute() else Path.home() / ".local/share") / "headrace")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def write_private(path: Path, text: str) -> None:
    """Replaces a file in one step; nobody else can read it at any moment."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
