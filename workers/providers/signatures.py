"""Thought signatures ride in the id of the tool call they belong to.

Gemini refuses a history whose function calls come back without the signature they were made with
(shared/facts/wire-chat.md 1.2). An id is the one thing every client of OpenAI's API returns as it
was; extra fields of a tool call get lost in many. `<id>__sig_<tag>_<signature>`: the signature in
URL-safe base64 without padding, the tag a hash of the model that made it, since another model may
call it corrupted. Only Gemini is ever sent one: every other host gets the id alone.
"""

import base64
import hashlib
import re

_MARK = "__sig_"
_TAG_CHARS = 6
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SIGNED = re.compile(rf"(.*?){_MARK}([A-Za-z0-9_-]{{{_TAG_CHARS}}})_([A-Za-z0-9_-]+)", re.DOTALL)
_TO_URL = str.maketrans("+/", "-_")
_FROM_URL = str.maketrans("-_", "+/")


def signed(id_: str, signature: str, model: str) -> str:
    """`id_` with the signature in it; `id_` alone where the signature is no base64."""
    if not _BASE64.fullmatch(signature):
        return id_
    return f"{id_}{_MARK}{_tag(model)}_{signature.translate(_TO_URL).rstrip('=')}"


def plain(id_: str) -> str:
    """The id without a signature: what hosts other than Gemini are sent."""
    found = _SIGNED.fullmatch(id_) if _MARK in id_ else None
    return found[1] if found else id_


def signature_of(id_: str, model: str) -> str | None:
    """The signature in `id_`, in standard base64, if `model` made it."""
    found = _SIGNED.fullmatch(id_) if _MARK in id_ else None
    if found is None or found[2] != _tag(model):
        return None
    text = found[3].translate(_FROM_URL)
    return text + "=" * (-len(text) % 4)


def _tag(model: str) -> str:
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode()[:_TAG_CHARS]
