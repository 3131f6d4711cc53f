"""Token counts of requests, in o200k tokens: estimates for quotas, never for bills."""

from collections.abc import Mapping
from typing import Any


def count(text: str) -> int:
    """The tokens of `text`; special tokens in it are ordinary text."""
    raise NotImplementedError


def count_chat(request: Mapping[str, Any]) -> int:
    """The input tokens of an OpenAI chat request."""
    raise NotImplementedError


def count_embedding(request_input: Any) -> int:
    """The input tokens of an embeddings request's `input` in any of its forms."""
    raise NotImplementedError
