"""Whose account a key belongs to, as its provider's answers say, and who shares limits by it. Pure.

Sources: shared/facts/wire-facts.md sections 1, 2 and 4. What is learned never overrules what was
stated: of two keys with different stated organisations none joins the other.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_HEADERS = ("openai-organization", "anthropic-organization-id")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{2,127}")
# As Groq and OpenAI begin it: what a caller wrote stands nowhere before or in it.
_IN_TEXT = re.compile(
    r"Rate limit reached for (?:model )?(?:`[^`]{1,200}`|[^\s`]{1,200}) in organization"
    r" `?(org[_-][A-Za-z0-9_-]{3,124})`? (?:service tier `|on )"
)


@dataclass(frozen=True, slots=True)
class Told:
    """An organisation as an answer named it. `source` is `header` or `429` (a limit's text)."""

    name: str
    source: str

    def __str__(self) -> str:
        """As it is kept; `told_of` reads it."""
        return f"{self.source} {self.name}"


def told_of(text: str) -> Told | None:
    """The inverse of `str(told)`; None for anything else."""
    source, _, name = text.partition(" ")
    return Told(name, source) if source in ("header", "429") and _NAME.fullmatch(name) else None


def in_headers(headers: Mapping[str, str]) -> Told | None:
    """The organisation that headers name (names in lower case)."""
    for header in _HEADERS:
        value = headers.get(header, "").strip()
        if _NAME.fullmatch(value):
            return Told(value, "header")
    return None


def in_refusal(message: str) -> Told | None:
    """The organisation that a met limit's text names in its provider's own form, as Groq's does."""
    found = _IN_TEXT.match(message)
    return Told(found[1], "429") if found else None


@dataclass(frozen=True, slots=True)
class Member:
    """A key of one provider: the organisation that was stated for it, and the one it was told."""

    id: str
    stated: str | None = None
    told: str | None = None


def owners(members: Iterable[Member]) -> dict[str, str]:
    """For each key that shares limits by what was learned, the name its windows are counted under.

    That is the organisation stated for a key of the same account, else the first key's id, whose
    ledgers go on as they are. Keys that share nothing, or share it by statement, are not in it.
    """
    accounts: dict[str, list[Member]] = {}
    for member in members:
        if member.told:
            accounts.setdefault(member.told, []).append(member)
    found: dict[str, str] = {}
    for keys in accounts.values():
        unstated = [key.id for key in keys if not key.stated]
        stated = next((key.stated for key in keys if key.stated), None)
        if unstated and len(keys) > 1:
            found |= dict.fromkeys(unstated, stated or unstated[0])
    return found
