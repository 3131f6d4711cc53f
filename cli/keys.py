"""The API keys that `headrace up` makes for its own data directory."""

import json
from typing import Any

from cli.home import Home, write_private
from shared.credentials import Secret, digest, new_api_key
from shared.errors import ConfigError

COMMAND_LINE = "command-line"


def make_keys(home: Home, *, anew: bool = False) -> Secret | None:
    """The admin API key if one had to be made, else None; it can be read this once only.

    With `anew` another is made, and the old ones go on to work. The command line of this machine
    gets a key of its own, so that `headrace submit` works at once. ConfigError: damaged file.
    """
    entries = _entries(home)
    if entries and not anew and home.client_key() is not None:
        return None
    admin = None
    if anew or not any(each.get("name") != COMMAND_LINE for each in entries):
        admin = new_api_key()
        taken = {str(each.get("name")) for each in entries}
        name = next(n for i in range(len(taken) + 1) if (n := _numbered(i)) not in taken)
        entries.append(_entry(name, admin))
    if home.client_key() is None:
        client = new_api_key()
        entries = [each for each in entries if each.get("name") != COMMAND_LINE]
        entries.append(_entry(COMMAND_LINE, client))
        write_private(home.client_key_file, client.reveal() + "\n")
    write_private(home.keys_file, json.dumps(entries, indent=1) + "\n")
    return admin


def _entries(home: Home) -> list[dict[str, Any]]:
    try:
        entries = json.loads(home.keys_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{home.keys_file} cannot be read: {exc}") from exc
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ConfigError(f"{home.keys_file} is damaged: a list of keys belongs there")
    return entries


def _entry(name: str, key: Secret) -> dict[str, Any]:
    found = {"name": name, "digest": digest(key.reveal())}
    return found | {"role": "admin", "tenant": "default"}


def _numbered(number: int) -> str:
    return f"admin-{number + 1}" if number else "admin"
