"""The personalities: each speaks one provider's own wire, read from the facts about it."""

from collections.abc import Callable, Mapping

from simulator.config import PersonalityName, SimulatedProvider
from simulator.personalities.anthropic import Anthropic
from simulator.personalities.base import Answer, Asked, Call, Personality, Route, Stream, Turn
from simulator.personalities.cohere import Cohere
from simulator.personalities.gemini import Gemini
from simulator.personalities.groq import Groq
from simulator.personalities.mistral import Mistral
from simulator.personalities.openai import OpenAI
from simulator.personalities.openai_like import Plain
from simulator.personalities.openrouter import OpenRouter

__all__ = ["Answer", "Asked", "Call", "Personality", "Route", "Stream", "Turn", "personality_of"]

_PERSONALITIES: Mapping[PersonalityName, Callable[[], Personality]] = {
    "openai": OpenAI,
    "groq": Groq,
    "gemini": Gemini,
    "cohere": Cohere,
    "mistral": Mistral,
    "anthropic": Anthropic,
    "openrouter": OpenRouter,
}


def personality_of(spec: SimulatedProvider) -> Personality:
    """Who a provider plays; without a personality, OpenAI's wire in its dialect."""
    if spec.personality is None:
        return Plain(spec.dialect)
    return _PERSONALITIES[spec.personality]()
