"""The words of catalog.yaml: names, days, amounts, and what stands for a capability."""

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
)

from shared.catalog_yaml import span_ms
from shared.nearest import unknown

CAPABILITIES = frozenset(
    {
        "chat",
        "stream",
        "tools",
        "parallel_tools",
        "json_object",
        "json_schema",
        "vision",
        "audio_input",
        "pdf_input",
        "video_input",
        "reasoning",
        "embedding",
        "transcription",
    }
)
TIMESTAMPS, WORD_TIMESTAMPS = "timestamps", "word_timestamps"
LANGUAGE_DETECTION = "language_detection"
DIARIZATION, KNOWN_SPEAKERS = "diarization", "known_speakers"
TRANSLATION = "translation"
"""What a transcription may need beside: as a model's `timestamps`, `language_required`, `speakers`
and `translates` say. Speakers and English are told by those only that are said to tell them."""
AUDIO_FIELDS = ("language", "prompt", "response_format", "temperature", "timestamp_granularities")
DIALECTS = ("groq", "openai", "mistral", "anthropic", "cerebras", "together", "generic", "none")
MOST_SIZE = 10**12  # tokens, bytes or seconds
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}")
"""What a base_url may take from the environment: `https://${AZURE_RESOURCE_NAME}.openai.azure.com`."""


def _once(values: list[str]) -> list[str]:
    for value in sorted(set(values)):
        if values.count(value) > 1:
            raise ValueError(f"{value!r} stands here twice; keep one")
    return values


def _capability(value: str) -> str:
    if value not in CAPABILITIES:
        raise ValueError(unknown(value, CAPABILITIES, "capability"))
    return value


def _text(value: Any) -> Any:
    """YAML reads `2026-10-01` as a date and `4.1` as a number where a name was meant."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as exc:
        raise ValueError("should be a day such as 2026-11-25") from exc


Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length=1, max_length=64)
]
ModelId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9@][A-Za-z0-9._:/+-]*$", min_length=1, max_length=200),
]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
Day = Annotated[str, BeforeValidator(_text), AfterValidator(_day)]
Names = Annotated[list[ModelId], AfterValidator(_once)]
Capability = Annotated[str, AfterValidator(_capability)]
Span = Annotated[str, AfterValidator(lambda text: (span_ms(text), text)[1])]
Amount = Annotated[int, Field(ge=0, le=10**15)]
Size = Annotated[int, Field(ge=1, le=MOST_SIZE)]
Preference = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
Usd = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
WindowKindName = Literal["sliding", "fixed", "bucket"]
KindName = Literal["chat", "embedding", "transcription", "summary"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Counts = Literal["input", "input+output", "input+max_output"]
