"""What a provider's own list of models changes in what we know of it. Pure.

`diff` compares, `lines` tells a person, `overlay` writes it as a file that lies between
catalog.yaml and the user's own. Nothing here guesses a price or takes a model for free: what is not
told stays unknown, and a new model has the limits its neighbours all have, so that a priced one on
a free plan is not taken for free either.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from shared.catalog_listing import Listed, kind_of
from shared.catalog_schema import Config, ModelDoc, ProviderDoc

MOST_SHOWN = 40
_DATED = re.compile(r"[-@](?:\d{8}|\d{6}|\d{4}-\d{2}-\d{2})$")
_SERVED = ("chat", "embedding", "transcription")


@dataclass(frozen=True, slots=True)
class Change:
    """One model of one provider. `what` is new, gone, back or changed.

    `fields` are what the file is to say of it; `was` what we knew of those before.
    """

    what: str
    model: str
    fields: Mapping[str, Any]
    was: Mapping[str, Any]

    def __str__(self) -> str:
        sign = {"new": "+", "back": "+", "gone": "-", "changed": "~"}[self.what]
        told = ", ".join(
            f"{name} {_plain(self.was[name])} → {_plain(value)}"
            if name in self.was
            else f"{name} {_plain(value)}"
            for name, value in self.fields.items()
            if name not in ("id", "status", "kinds", "doubt", "limits", "capabilities")
        )
        return f"{sign} {self.model}: {self.what}" + (f", {told}" if told else "")


@dataclass(frozen=True, slots=True)
class Diff:
    """What changes in one provider. `kept` are models that are missing from a list too short.

    `unreached` counts listed models that no call of ours can reach.
    """

    provider: str
    changes: tuple[Change, ...] = ()
    kept: tuple[str, ...] = ()
    unreached: int = 0


def diff(name: str, doc: ProviderDoc, listed: Iterable[Listed], today: str) -> Diff:
    """What `listed` changes in what we know (`doc`) of the provider `name`.

    A dated snapshot of a model or an alias is that model. Where more than half of all models, the
    new ones counted, are missing, the key sees a part only: none of them is taken for gone.
    """
    rows = {one.id: one for one in listed}
    known = {model.id: model for model in doc.models or []}
    names = {alias: model.id for model in known.values() for alias in model.aliases}
    names |= {id_: id_ for id_ in known}
    seen: dict[str, Listed] = {}
    fresh: list[Listed] = []
    for row in rows.values():
        same = next((names[n] for n in _names(row) if n in names), None)
        if same is None:
            fresh.append(row)
        elif row.id == same or same not in seen:
            seen[same] = row
    changes = [each for model in known.values() if (each := _compared(model, seen, today))]
    made = [_made(row, doc, today) for row in fresh if not _undated_twin(row, rows)]
    new = [each for each in made if each is not None]
    gone = [each.model for each in changes if each.what == "gone"]
    back = sum(each.what == "back" for each in changes)
    alive = sum(model.status != "retired" for model in known.values()) + len(new) + back
    kept = tuple(gone) if 2 * len(gone) > alive else ()
    return Diff(
        provider=name,
        changes=tuple(each for each in (*new, *changes) if each.model not in kept),
        kept=kept,
        unreached=len(made) - len(new),
    )


def lines(found: Diff) -> list[str]:
    """The diff for a person: a line a model, and what was left alone."""
    said = [f"{found.provider}: " + (_counts(found) or "nothing new")]
    for what in ("new", "back", "changed", "gone"):
        group = [f"  {each}" for each in found.changes if each.what == what]
        said += group[:MOST_SHOWN]
        if len(group) > MOST_SHOWN:
            said.append(f"  … and {len(group) - MOST_SHOWN} more {what}")
    if found.kept:
        missing = f"{len(found.kept)} of its models are missing"
        said.append(f"  {missing}, more than half: left as they are; does this key see all?")
    if found.unreached:
        said.append(f"  {found.unreached} listed that no call of ours reaches")
    return said


def overlay(before: Config, diffs: Iterable[Diff]) -> dict[str, Any]:
    """The content of the refreshed file: `before` with the changes, as plain values."""
    providers = before.model_dump(exclude_unset=True).get("providers", {})
    for found in diffs:
        if not found.changes:
            continue
        section = providers.setdefault(found.provider, {})
        models = {model["id"]: model for model in section.get("models") or []}
        for each in found.changes:
            models[each.model] = {**models.get(each.model, {}), "id": each.model, **each.fields}
        section["models"] = list(models.values())
    return {"providers": providers}


def _names(row: Listed) -> Iterable[str]:
    """What a listed model may be known as, best first."""
    yield row.id
    yield _DATED.sub("", row.id)
    yield from row.aliases


def _undated_twin(row: Listed, rows: Mapping[str, Listed]) -> bool:
    """Whether the list has this model without its date as well."""
    return _DATED.sub("", row.id) != row.id and _DATED.sub("", row.id) in rows


def _compared(model: ModelDoc, seen: Mapping[str, Listed], today: str) -> Change | None:
    row = seen.get(model.id)
    if row is None:
        if model.status == "retired":
            return None
        fields = {"status": "retired", "doubt": f"not listed by its provider on {today}"}
        return Change("gone", model.id, fields, {})
    told = _facts(row)
    was = {name: value for name, value in _known(model).items() if name in told}
    fields = {name: value for name, value in told.items() if not _same(value, was.get(name))}
    if model.status == "retired":
        back = {"status": "active", "doubt": f"listed again on {today}"}
        return Change("back", model.id, {**back, **fields, "as_of": today}, was)
    if not fields:
        return None
    return Change("changed", model.id, {**fields, "as_of": today}, was)


def _made(row: Listed, doc: ProviderDoc, today: str) -> Change | None:
    """A new model's entry; None for one that no call of ours can reach."""
    kind = row.kind or kind_of(row.id)
    if kind not in _SERVED or any(fnmatchcase(row.id, pattern) for pattern in doc.left_out):
        return None
    fields: dict[str, Any] = {"kinds": [kind], "status": "uncertain", **_facts(row)}
    if kind == "chat" and row.capabilities is not None:
        fields["capabilities"] = sorted(row.capabilities)
    guessed = "" if row.kind else ", its kind guessed from its name"
    doubt = f"from its provider's list{guessed}; nobody has looked at it"
    return Change(
        "new", row.id, {**fields, **_customs(row, kind, doc), "as_of": today, "doubt": doubt}, {}
    )


def _customs(row: Listed, kind: str, doc: ProviderDoc) -> dict[str, Any]:
    """The pool and plan limits that all models of its kind and price class here have alike."""
    free = row.input_usd == 0 and row.output_usd == 0
    alike = [
        model
        for model in doc.models or []
        if model.status != "retired" and _kind(model) == kind and _is_free(model) == free
    ]
    if not alike:
        return {}
    pools = {model.pool for model in alike}
    found: dict[str, Any] = {"pool": alike[0].pool} if len(pools) == 1 and alike[0].pool else {}
    plans = {
        plan: limits.model_dump(exclude_unset=True)
        for plan, limits in alike[0].limits.items()
        if all(model.limits.get(plan) == limits for model in alike)
    }
    return found | ({"limits": plans} if plans else {})


def _kind(model: ModelDoc) -> str:
    named = (*(model.kinds or ()), *(model.capabilities or ()))
    return next((name for name in named if name in _SERVED), "chat")


def _is_free(model: ModelDoc) -> bool:
    price = model.price_usd_per_1m
    return price is not None and price.input == 0 and price.output == 0


def _facts(row: Listed) -> dict[str, Any]:
    """What a list tells of a model, as the file says it."""
    context, output = row.context_window, row.max_output_tokens
    found: dict[str, Any] = {}
    if context is not None:
        found["context_window"] = context
    if output is not None and (context is None or output <= context):
        found["max_output_tokens"] = output
    if row.input_usd is not None and row.output_usd is not None:
        price = {"input": row.input_usd, "output": row.output_usd}
        cached = {} if row.cached_usd is None else {"cached": row.cached_usd}
        found["price_usd_per_1m"] = price | cached
    if row.ends is not None:
        found["ends"] = row.ends
    return found


def _known(model: ModelDoc) -> dict[str, Any]:
    said = model.model_dump(exclude_unset=True)
    names = ("context_window", "max_output_tokens", "price_usd_per_1m", "ends")
    return {name: said[name] for name in names if said.get(name) is not None}


def _same(told: object, known: object) -> bool:
    """Equal; of prices what is told counts, to a millionth of a dollar."""
    if isinstance(told, dict) and isinstance(known, dict):
        return all(
            known.get(name) is not None and abs(value - known[name]) < 1e-6  # noqa: PLR2004
            for name, value in told.items()
        )
    return told == known


def _counts(found: Diff) -> str:
    each = dict.fromkeys(("new", "back", "changed", "gone"), 0)
    for change in found.changes:
        each[change.what] += 1
    return ", ".join(f"{number} {what}" for what, number in each.items() if number)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return "/".join(f"{each:g}" for each in value.values() if each is not None)
    return f"{value:,}" if isinstance(value, int) else str(value)
