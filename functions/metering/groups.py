"""Usage grouped by what one asks for: days, models, keys …"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from functions.metering.usage import DAY_MS, UsageBucket, UsageReader, days_of, month_of

BY = ("day", "month", "customer", "model", "version", "kind", "plan", "key")
"""What usage can be grouped by."""


class Group(NamedTuple):
    """Calls and units that have the values `of` in what was asked for."""

    of: tuple[str, ...]
    calls: int
    units: int


def grouped(
    reader: UsageReader, start: int, end: int, customer: str | None, by: Sequence[str]
) -> list[Group]:
    """Live calls of a span, grouped by some of BY, sorted. By key takes a look at every row."""
    calls: Counter[tuple[str, ...]] = Counter()
    units: Counter[tuple[str, ...]] = Counter()
    if "key" in by:
        for row in reader.rows(start, end, customer):
            day, *_ = next(days_of(row.started_at // DAY_MS * DAY_MS, row.started_at + 1))
            alone = UsageBucket(
                row.customer, row.plan, row.model, row.version, row.kind, day, 1, row.units, row.started_at
            )
            of = tuple(row.key_id if name == "key" else _value(alone, name) for name in by)
            calls[of] += 1
            units[of] += row.units
    else:
        for bucket in reader.buckets(start, end, customer):
            of = tuple(_value(bucket, name) for name in by)
            calls[of] += bucket.calls
            units[of] += bucket.units
    return [Group(of, calls[of], units[of]) for of in sorted(calls)]


def _value(bucket: UsageBucket, name: str) -> str:
    if name == "month":
        return month_of(bucket.first)
    return str(getattr(bucket, name))
