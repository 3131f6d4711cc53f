"""What of the catalog is old, doubtful or about to end: warnings, never errors. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from shared.catalog_schema import LimitsDoc, ProviderDoc

OLD_DAYS = 90
SOON_DAYS = 90


def doubts(providers: Mapping[str, ProviderDoc], today: date) -> list[str]:
    """A line for each figure that is older than 90 days, doubtful, or ends within 90 days."""
    found: list[str] = []
    for name, doc in providers.items():
        if doc.status == "retired":
            continue
        uncertain = "status uncertain" if doc.status == "uncertain" else None
        found += _said(name, (_age(doc.as_of, today), uncertain, doc.doubt))
        found += _said(name, _limits(doc, today))
        for model in doc.models or []:
            if model.status != "retired":
                said = (_age(model.as_of, today), _end(model.ends, today), model.doubt)
                found += _said(f"{name}/{model.id}", said)
    return found


def _said(what: str, remarks: Iterable[str | None]) -> Iterator[str]:
    return (f"{what}: {remark}" for remark in remarks if remark)


def _age(as_of: str | None, today: date) -> str | None:
    """`of 2026-08-14, 103 days old` where that is too long ago."""
    days = (today - date.fromisoformat(as_of)).days if as_of else 0
    return f"of {as_of}, {days} days old" if days > OLD_DAYS else None


def _end(ends: str | None, today: date) -> str | None:
    if ends is None:
        return None
    days = (date.fromisoformat(ends) - today).days
    if days <= 0:
        return f"has ended on {ends}"
    return f"ends on {ends}" if days <= SOON_DAYS else None


def _limits(doc: ProviderDoc, today: date) -> Iterator[str]:
    """A line a plan and remark, however many models say the same."""
    places: list[Mapping[str, LimitsDoc]] = [doc.limits, *doc.pools.values()]
    places += [model.limits for model in doc.models or [] if model.status != "retired"]
    remarks: dict[str, None] = {}
    for plans in places:
        for plan, limits in plans.items():
            for remark in (_age(limits.as_of, today), limits.doubt):
                if remark:
                    remarks[f"limits of plan {plan}: {remark}"] = None
    yield from remarks
