"""Which adapter speaks to which type of provider."""

from collections.abc import Mapping

from workers.providers.anthropic import Anthropic
from workers.providers.base import Adapter
from workers.providers.cohere import Cohere
from workers.providers.deepgram import Deepgram
from workers.providers.gemini import Gemini
from workers.providers.openai_compatible import OpenAICompatible

_OPENAI = OpenAICompatible()
ADAPTERS: Mapping[str, Adapter] = {
    "anthropic": Anthropic(),
    "cohere": Cohere(),
    "deepgram": Deepgram(),
    "gemini": Gemini(),
}
"""By provider type, for the wires of their own; every other type speaks OpenAI's."""


def adapter_for(type_: str) -> Adapter:
    """The adapter for a provider type."""
    return ADAPTERS.get(type_, _OPENAI)
