"""Mistyped names are answered with the nearest known one: here, for every border of ours."""

import difflib
import re
import types
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_WORDS = (
    ("Input should", "should"),
    ("valid dictionary", "mapping (a JSON object)"),
    (" after validation", ""),
)
_MAX_NAME = 64

TAG = "#"
"""Union branches are tagged `#name`, so that a path can leave them out."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `path` like `providers.alpha.models[0].limits`, and what to do."""

    path: str
    message: str
    unknown: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None where none is near."""
    if len(name) > _MAX_NAME:
        return None
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def unknown(name: str, known: Collection[str], noun: str = "key") -> str:
    """The sentence that refuses an unknown name: the nearest known one, or all of them."""
    near = nearest(name, known)
    name = _short(name)
    if near is not None:
        return f"unknown {noun} {name!r}; did you mean {near!r}?"
    if not known:
        return f"unknown {noun} {name!r}; none is known here"
    return f"unknown {noun} {name!r}; known: {', '.join(sorted(known))}"


def dotted(loc: Iterable[int | str]) -> str:
    """A path as a person writes it: `models[0].limits.free`; union tags are left out."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(TAG):
            path += f".{_short(part)}" if path else _short(part)
    return path


def _short(name: str) -> str:
    """A caller may send a name of a megabyte; nobody wants it back."""
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"


def problems(error: ValidationError, model: type[BaseModel] | None = None) -> list[Problem]:
    """What a validation found, in our words and without repeating the input (it may be secret).

    `model` is what was validated: it tells which names an unknown one may have meant.
    """
    return [_problem(item, model) for item in error.errors(include_url=False, include_input=False)]


def _problem(item: ErrorDetails, model: type[BaseModel] | None) -> Problem:
    loc = tuple(part for part in item["loc"] if part != "[key]")
    match item["type"]:
        case "extra_forbidden":
            message = unknown(str(loc[-1]), _names_at(model, loc[:-1]))
            return Problem(dotted(loc), message, unknown=True)
        case "missing":
            return Problem(dotted(loc), "is required")
        case "value_error":
            return Problem(dotted(loc), item["msg"].removeprefix("Value error, "))
        case _:
            return Problem(dotted(loc), _plainly(item["msg"]))


def _plainly(text: str) -> str:
    """Pydantic's sentence in the words of someone who wrote JSON or YAML."""
    text = re.sub(r" or instance of \w+", "", text)
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:]


def _names_at(model: type[BaseModel] | None, loc: Iterable[int | str]) -> set[str]:
    """The field names of the models that stand at `loc` within `model`."""
    models = [model] if model else []
    pending: list[Any] = []
    for part in loc:
        if isinstance(part, str) and part.startswith(TAG):
            continue
        if models:
            pending = [
                field.annotation
                for owner in models
                for name, field in owner.model_fields.items()
                if part in (name, field.alias)
            ]
        else:
            pending = [inner for outer in pending for inner in get_args(_bare(outer))[-1:]]
        models = [found for outer in pending for found in _models(outer)]
    return {field.alias or name for owner in models for name, field in owner.model_fields.items()}


def _bare(annotation: Any) -> Any:
    """An annotation without Annotated and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [arg for arg in get_args(annotation) if arg is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else annotation
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models an annotation means directly: not those inside a list or dict."""
    bare = _bare(annotation)
    if get_origin(bare) in (Union, types.UnionType):
        return [found for arg in get_args(bare) for found in _models(arg)]
    return [bare] if isinstance(bare, type) and issubclass(bare, BaseModel) else []
