"""`GET /v1/usage`: what was used and what it cost, by day, tenant, provider and model."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from api.auth import scope_of
from api.call import Call
from api.wiring import Service
from shared.core.books import Counts, Row, alert, grouped
from shared.errors import Refused

COLUMNS: Final = ("day", "tenant", "provider", "model")
DEFAULT_DAYS: Final = 7
MOST_DAYS: Final = 92
MOST_ROWS: Final = 10_000
EPOCH: Final = date(1970, 1, 1)
_WHOLE: Final = re.compile(r"\d{1,3}")


async def get(service: Service, call: Call) -> None:
    """The sums of the last days, newest last; a tenant sees its own, an admin all."""
    asked = call.query(("days", "group_by"))
    days, by = _days(asked.get("days")), _columns(asked.get("group_by"))
    today, scope = await service.usage.today(), scope_of(call.key)
    rows: Sequence[Row] = await service.usage.rows(today - days + 1, today)
    if scope is not None:
        rows = [row for row in rows if row.tenant == scope]
    groups = grouped(rows, by)
    total = sum((row.counts for row in rows), Counts())
    await call.json(
        200,
        {
            "object": "usage",
            "from": _day(today - days + 1),
            "to": _day(today),
            "group_by": by,
            "total": counts_view(total),
            "data": [
                dict(zip(by, _shown(by, key), strict=True)) | counts_view(counts)
                for key, counts in groups[-MOST_ROWS:]
            ],
            "has_more": len(groups) > MOST_ROWS,
            "paid": await _paid(service, today),
        },
    )


def counts_view(counts: Counts) -> dict[str, Any]:
    """Sums as they are shown: money in US dollars."""
    share = counts.free_share
    return {
        "calls": counts.calls,
        "answered": counts.done,
        "free": counts.free,
        "free_share": None if share is None else round(share, 6),
        "unpriced": counts.unpriced,
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "cached_tokens": counts.cached_tokens,
        "audio_seconds": counts.audio_seconds,
        "cost_usd": counts.cost_microusd / 1e6,
        "saved_usd": counts.saved_microusd / 1e6,
        "shared": counts.shared,
        "from_cache": counts.kept,
        "spared_usd": counts.spared_microusd / 1e6,
    }


async def _paid(service: Service, today: int) -> dict[str, Any]:
    """Today's money over all tenants, against the day's cap."""
    cap, spent = service.bounds.paid_cap_microusd, await service.usage.spent_microusd(today)
    capped = any(lane.capped for lane in await service.lanes.lanes())
    return {
        "spent_today_usd": spent / 1e6,
        "cap_usd": None if cap is None else cap / 1e6,
        "left_usd": None if cap is None else max(0, cap - spent) / 1e6,
        "alert": alert(spent, cap, capped=capped),
        "resets_at": int(datetime.combine(_date(today + 1), datetime.min.time(), UTC).timestamp()),
    }


def _date(day: int) -> date:
    return EPOCH + timedelta(days=day)


def _day(day: int) -> str:
    return _date(day).isoformat()


def _shown(by: Sequence[str], key: Sequence[int | str]) -> list[int | str]:
    return [
        _day(int(value)) if name == "day" else value for name, value in zip(by, key, strict=True)
    ]


def _days(text: str | None) -> int:
    if text is None:
        return DEFAULT_DAYS
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= MOST_DAYS:
        raise Refused(f"days must be a whole number from 1 to {MOST_DAYS}", param="days")
    return int(text)


def _columns(text: str | None) -> tuple[str, ...]:
    if text is None:
        return COLUMNS
    names = text.split(",")
    if not set(names) <= set(COLUMNS) or len(names) > len(COLUMNS):
        raise Refused(
            f"group_by must be some of {', '.join(COLUMNS)}, with commas between", param="group_by"
        )
    return tuple(dict.fromkeys(names))
