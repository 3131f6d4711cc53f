"""What a simulated model answers: a function of the question, so a client can check it.

The rule: the question is the text of the last user message (its text parts joined; an image
part stands as `<image DIGEST>`). A text answer always starts with `expected_answer(messages)`,

    sim-DIGEST re "the question's first 60 characters"

where DIGEST is the first 16 hex digits of BLAKE2b of the question, and goes on with filler
words. That head counts as one token and each filler word as one, so even `max_tokens: 1`
returns the whole head. JSON answers and tool arguments carry `sim-DIGEST` in their free text
fields. `[[tokens:N]]` in the question asks for N tokens.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any

from simulator.config import Output

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 85
_HEAD_CHARS = 60
_TALE = (
    "the water runs down the long channel and turns one wheel after another while the miller "
    "counts what each of them has ground since the morning and writes it in a book"
)
_WORDS = tuple(_TALE.split())
_FILLER_TOKENS = 4_096
_FILLER = "".join(" " + _WORDS[i % len(_WORDS)] for i in range(_FILLER_TOKENS))
_ENDS = [0]
for _i in range(_FILLER_TOKENS):
    _ENDS.append(_ENDS[-1] + 1 + len(_WORDS[_i % len(_WORDS)]))
_ASKED_TOKENS = re.compile(r"\[\[tokens:(\d{1,6})\]\]")
_NORMAL = NormalDist()


def digest(text: str) -> str:
    """16 hex digits of BLAKE2b over the text's UTF-8."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def message_text(content: Any) -> str:
    """The text of a message's content: a string, or its parts joined, images as digests."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = []
    for part in content:
        if not isinstance(part, Mapping):
            continue
        if part.get("type") == "image_url":
            image = part.get("image_url")
            url = image.get("url", "") if isinstance(image, Mapping) else image
            parts.append(f"<image {digest(str(url))}>")
        else:
            parts.append(str(part.get("text", "")))
    return "".join(parts)


def question_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last user message, or of the last message where no user speaks."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return message_text(message.get("content"))
    return message_text(messages[-1].get("content")) if messages else ""


def head_of(question: str) -> str:
    """How the answer to this question begins."""
    return f'sim-{digest(question)} re "{question[:_HEAD_CHARS]}"'


def expected_answer(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the answer to these messages starts with; a text answer that does not is another's."""
    return head_of(question_of(messages))


def filler(tokens: int) -> str:
    """That many filler words, each with a space before it."""
    rounds, rest = divmod(max(tokens, 0), _FILLER_TOKENS)
    return _FILLER * rounds + _FILLER[: _ENDS[rest]]


def pieces(head: str, tokens: int) -> list[str]:
    """The same answer cut in one piece a token, as a stream sends it."""
    return [head, *(f" {_WORDS[i % _FILLER_TOKENS % len(_WORDS)]}" for i in range(tokens - 1))]


def text_tokens(text: str) -> int:
    """Tokens of a text: four bytes of UTF-8 each, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // BYTES_PER_TOKEN)


def wanted_tokens(output: Output, question: str) -> int:
    """How many tokens the model would like to answer this question with; at least 1."""
    if "[[tokens:" in question and (asked := _ASKED_TOKENS.search(question)):
        return max(1, int(asked[1]))
    if output.sigma == 0:
        return output.median_tokens
    return max(1, round(output.median_tokens * math.exp(output.sigma * _quantile(question))))


@lru_cache(maxsize=4_096)
def _quantile(question: str) -> float:
    share = (int(digest(question), 16) + 0.5) / 2**64
    return _NORMAL.inv_cdf(min(max(share, 1e-9), 1 - 1e-9))
