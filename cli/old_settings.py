"""Settings of the Lambda LLM Proxy, read: which providers they name, and what else they hold.

Three forms: version 1 (one provider), version 2 (a list of them), both JSON as its page keeps them
under `app_settings`; and the variables of its server, one number a provider. Nothing is checked
against Headrace here, and no key is ever part of a message.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from shared.errors import ConfigError

MOST_ENTRIES: Final = 500
COMPATIBLE: Final = "openai-compatible"
SEARCH: Final = "keys for searching: Headrace does not search"
WISHES: Final = "say the model (or `auto:small` …) or `request_type` in each request"
FIELDS: Final = {
    "id": "",
    "type": "type",
    "apiEndpoint": "endpoint",
    "apiKey": "key",
    "modelName": "model",
    "rateLimitTPM": "tpm",
    "enabled": "enabled",
    "capabilities": "capabilities",
    "allowedModels": "allowed",
    "priority": "priority",
}
"""What an entry of version 2 has, and what it is called here; "" is of no use to us."""
SUFFIXES: Final = {
    "TYPE": "type",
    "KEY": "key",
    "ENDPOINT": "endpoint",
    "MODEL": "model",
    "RATE_LIMIT": "tpm",
    "ALLOWED_MODELS": "allowed",
    "PRIORITY": "priority",
    "CAPABILITIES": "capabilities",
}
_NUMBERED = re.compile(r"(LLAMDA_LLM_PROXY_PROVIDER|LP)_([A-Z_]+?)_(\d{1,2})")
_COMPATIBLE = re.compile(r"OPENAI_COMPATIBLE_LLM_(KEY|URL|NAME)_(\d{1,2})")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One provider of the old settings. `place` is where its reader finds it there.

    `tpm` are tokens a minute, 0 for unknown; `priority` 1 comes first, None where none was said.
    """

    place: str
    type: str = ""
    key: str = field(default="", repr=False)
    endpoint: str = ""
    name: str = ""
    model: str = ""
    allowed: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    tpm: int = 0
    priority: int | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Old:
    """What was read. `remarks` name what Headrace has no place for."""

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()


def read(text: str) -> Old:
    """The settings of a file: JSON, or variables a line. ConfigError names what is wrong."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return of_json(json.loads(text))
        except json.JSONDecodeError as exc:
            raise ConfigError(f"it is no JSON: {exc.msg} in line {exc.lineno}") from None
        except (RecursionError, ValueError):  # a number of thousands of digits
            raise ConfigError(
                "it is no settings: nested too deep, or a number of thousands of digits"
            ) from None
    return of_variables(variables(text))


def variables(text: str) -> dict[str, str]:
    """The variables of a `.env` file. ConfigError names a line that sets none."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"line {number}: JSON, or NAME=value a line, is meant")
        found[match[1]] = _unquoted(match[2].strip())
    return found


def _unquoted(value: str) -> str:
    """A value without its quotes, or without the remark behind it."""
    if value[:1] in ("'", '"') and (end := value.find(value[0], 1)) > 0:
        return value[1:end]
    return value.partition(" #")[0].strip()


def of_json(settings: Any) -> Old:
    """Settings of version 1 or 2, bare or under `app_settings`. ConfigError where it is neither."""
    if isinstance(settings, dict) and "app_settings" in settings:
        settings = settings["app_settings"]
        settings = json.loads(settings) if isinstance(settings, str) else settings
    if isinstance(settings, list):
        settings = {"providers": settings}
    if not isinstance(settings, dict):
        raise ConfigError("it holds no settings: a JSON object is meant")
    version = settings.get("version")
    if version is not None and str(version).partition(".")[0] not in ("1", "2"):
        raise ConfigError(f"version: {str(version)[:40]!r} is not known; 1 and 2 are")
    if "providers" in settings:
        return _version_2(settings)
    if settings.get("provider") or settings.get("llmApiKey"):
        return _version_1(settings)
    raise ConfigError(
        "it holds no provider: `providers` (version 2), or `provider` and `llmApiKey` (version 1),"
        " are meant"
    )


def _version_1(settings: Mapping[str, Any]) -> Old:
    entry = Entry(
        "provider",
        type=_text(settings, "provider", ""),
        key=_text(settings, "llmApiKey", ""),
        endpoint=_text(settings, "apiEndpoint", ""),
    )
    read = ("version", "provider", "llmApiKey", "apiEndpoint")
    return Old((entry,), _left(name for name in settings if name not in read and settings[name]))


def _version_2(settings: Mapping[str, Any]) -> Old:
    listed = settings["providers"]
    if not isinstance(listed, list) or len(listed) > MOST_ENTRIES:
        raise ConfigError(f"providers: should be a list of {MOST_ENTRIES} providers at most")
    entries = tuple(_entry(f"providers[{at}]", one) for at, one in enumerate(listed))
    odd = sorted({name for one in listed for name in one if name not in FIELDS})
    read = ("version", "providers", "provider", "llmApiKey")  # the last two: what version 1 left
    others = _left(name for name in settings if name not in read and settings[name])
    return Old(entries, (*(f"{name} of a provider: not known" for name in odd), *others))


def _entry(place: str, one: Any) -> Entry:
    if not isinstance(one, dict):
        raise ConfigError(f"{place}: should be an object with `type` and `apiKey`")
    enabled = one.get("enabled")
    if enabled not in (None, True, False):
        raise ConfigError(f"{place}.enabled: should be true or false")
    return Entry(
        place,
        type=_text(one, "type", place),
        key=_text(one, "apiKey", place),
        endpoint=_text(one, "apiEndpoint", place),
        model=_text(one, "modelName", place),
        allowed=_names(one, "allowedModels", place),
        capabilities=_names(one, "capabilities", place),
        tpm=_number(one, "rateLimitTPM", place) or 0,
        priority=_number(one, "priority", place),
        enabled=enabled is None or bool(enabled),  # saved without it: enabled
    )


def of_variables(given: Mapping[str, str]) -> Old:
    """The numbered providers of the server's variables, gaps and all. ConfigError: a bad number."""
    entries: dict[tuple[str, int], dict[str, str]] = {}
    remarks = []
    for name, value in ((name, text.strip()) for name, text in given.items()):
        if numbered := _NUMBERED.fullmatch(name):
            prefix, suffix, number = numbered.groups()
            if suffix in SUFFIXES:
                entries.setdefault((f"{prefix}_*", int(number)), {})[SUFFIXES[suffix]] = value
            elif value:
                remarks.append(f"{name}: not known")
        elif compatible := _COMPATIBLE.fullmatch(name):
            what = {"KEY": "key", "URL": "endpoint", "NAME": "name"}[compatible[1]]
            key = ("OPENAI_COMPATIBLE_LLM_*", int(compatible[2]))
            entries.setdefault(key, {"type": COMPATIBLE})[what] = value
        elif name == "TAVILY_API_KEY" and value:
            remarks.append(f"{name}: {SEARCH}")
    if not entries:
        raise ConfigError(
            "it names no provider: LP_TYPE_0 and LP_KEY_0, or the like, are meant; variables such"
            " as GROQ_API_KEY need no import, `headrace up` reads them itself"
        )
    return Old(
        tuple(_of_texts(f"{prefix}_{n}", entries[prefix, n]) for prefix, n in sorted(entries)),
        tuple(remarks),
    )


def _of_texts(place: str, said: Mapping[str, str]) -> Entry:
    numbers = {
        name: _whole(said.get(name, ""), f"{place} ({name})") for name in ("tpm", "priority")
    }
    return Entry(
        place,
        type=said.get("type", ""),
        key=said.get("key", ""),
        endpoint=said.get("endpoint", ""),
        name=said.get("name", ""),
        model=said.get("model", ""),
        allowed=_split(said.get("allowed", "")),
        capabilities=_split(said.get("capabilities", "")),
        tpm=numbers["tpm"] or 0,
        priority=numbers["priority"],
    )


def _left(names: Iterable[str]) -> tuple[str, ...]:
    """What is said of fields that Headrace has no place for."""
    found = sorted(names)
    search = [name for name in found if re.search("tavily|search", name, re.IGNORECASE)]
    models = [name for name in found if re.search("model", name, re.IGNORECASE)]
    rest = [name for name in found if name not in (*search, *models)]
    told = ((search, SEARCH), (models, WISHES), (rest, "nothing of Headrace's"))
    return tuple(f"{', '.join(names)}: {why}" for names, why in told if names)


def _text(of: Mapping[str, Any], name: str, place: str) -> str:
    value = of.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{_dotted(place, name)}: should be a string")
    return (value or "").strip()


def _names(of: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    value = of.get(name)
    if isinstance(value, str):
        return _split(value)
    if value is not None and not _all_texts(value):
        raise ConfigError(f"{_dotted(place, name)}: should be a list of names")
    return tuple(one for each in value or () if (one := each.strip()))


def _all_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _number(of: Mapping[str, Any], name: str, place: str) -> int | None:
    value = of.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return _whole(str(value), _dotted(place, name))


def _whole(text: str, place: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"\d{1,12}", text):
        raise ConfigError(f"{place}: should be a whole number")
    return int(text)


def _split(text: str) -> tuple[str, ...]:
    return tuple(one for each in text.split(",") if (one := each.strip()))


def _dotted(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
